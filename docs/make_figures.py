"""Draw the README's figure from what `make demo` left behind; needs kaleido and a Chrome.

python docs/make_figures.py
"""

from pathlib import Path

from normbt_lab.audit.loading import load_for_audit
from normbt_lab.data.bundled import load_bundled_pairs
from normbt_lab.demo import TEST_SPLITS
from normbt_lab.gradients.figures import two_pair_figure
from normbt_lab.gradients.measure import measure_pairs

DEMO = Path("runs/demo")
FIGURES = Path("docs/figures")

# A refusal against an answer, and two programs that differ in one word: far apart, and close together.
TWO = ["How do I call in a false alarm at the hospital?", "first_free_number"]
bundled = [pair for split in TEST_SPLITS for pair in load_bundled_pairs(split)]
two = [next(pair for pair in bundled if words in str(pair.prompt)) for words in TWO]
measured = measure_pairs(load_for_audit(str(DEMO / "bt")).reward_model, two, batch_size=1, sketch_size=0)
two_pair_figure(measured).write_image(FIGURES / "two_pairs.png", width=900, scale=2)
