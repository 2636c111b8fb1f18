"""The page that shows pairs through reward models: `python app.py`, `normbt app`, or a Hugging Face Space."""

from normbt_lab.app import build_app, serve

demo = build_app()

if __name__ == "__main__":
    serve(demo)
