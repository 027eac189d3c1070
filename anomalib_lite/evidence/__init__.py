"""Evidence of detection: defects planted into good images, what was found of them, and what that says of a model."""
