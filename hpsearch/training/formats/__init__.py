"""Files of a trained model for use elsewhere.

- ``agreement``: whether such a file says what the model says, on real images
- ``deployable``: the model with its normalisation inside, from bytes to probabilities
- ``onnx_file``: ONNX, checked by onnxruntime
- ``safetensors_file``: the weights, with what they need to be used
- ``torch_program``: torch.export's program (.pt2)
"""
