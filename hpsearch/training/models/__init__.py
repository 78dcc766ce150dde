"""Networks by name. Each maps a float batch (n, channels, height, width) to logits (n, classes).

- ``dense``: mlp, and the dense layers that end a convolutional network
- ``widths``: dense widths by a rule, or by a report's name
- ``small_cnns``: simple_cnn, default_conv, cnn_lessvalues, dilated_cnn
- ``report_cnns``: cnn_big, cnn_small, emoji_net, emoji_net_initial
- ``airbench``: airbench, a small net that trains fast
- ``whitening``: a first convolution measured on the training images (of airbench)
- ``classic_cnns``: lenet5, vgg16
- ``resnets``: resnet18, resnet50
- ``torchvision_models``: torchvision, any of its classifiers
- ``timm_models``: timm, any of its classifiers
- ``pretrained``, ``transfer``: pretrained weights, and new dense layers on top of them
- ``activations``: relu, leaky_relu, relu6, elu, tanh, silu, gelu, sigmoid, softmax
- ``stack``: convolutional networks whose layers form one sequence
- ``convolution``: output sizes, the error for a kernel that doesn't fit, and initial weights
- ``inspection``: parameters, multiply-adds and the layers, without arithmetic
- ``layer_table``: the layers as a table, for terminals, reports and model cards
- ``tracing``, ``autograd_memory``: parts of it: receptive fields, memory of a training step
"""
