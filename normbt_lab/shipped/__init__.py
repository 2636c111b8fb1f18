"""The reward models that come with the package: made by one command, packed by another, loaded by name.

``docs/shipped_models.md`` has the commands and what was measured. Nothing here needs torch until a model is made.
"""

from normbt_lab.shipped.registry import SHIPPED, available_models, is_shipped_name, shipped_folder

__all__ = ["SHIPPED", "available_models", "is_shipped_name", "shipped_folder"]
