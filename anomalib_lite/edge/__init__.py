"""What runs on a device: standard library, numpy, Pillow and onnxruntime alone."""
