"""From a fitted detector to one ONNX graph: what is exported, how, and what may be built into it."""
