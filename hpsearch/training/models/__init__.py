"""Networks by name. Each maps a float batch (n, channels, height, width) to logits (n, classes).

- ``dense``: mlp, and the dense layers that end a convolutional network
- ``small_cnns``: simple_cnn, dilated_cnn
- ``activations``: relu, leaky_relu, relu6, elu, tanh, silu, gelu, sigmoid, softmax
- ``convolution``: output sizes, and the arithmetic of a kernel that doesn't fit
- ``inspection``: parameters, multiply-adds and the layer table, without computing anything
"""
