"""Files of a trained model for use elsewhere.

- ``agreement``: compares such a file's logits with the model's on real images
- ``deployable``: the model with its normalisation inside, from bytes to probabilities
- ``onnx_file``: ONNX, checked by onnxruntime
- ``safetensors_file``: the weights, and what is needed to use them
- ``torch_program``: torch.export's program (.pt2)
"""
