"""The reference multi-task network: pose, landmarks and visibility from one crop of a face.

This room needs PyTorch and safetensors (``pip install 'facebench[mnn]'``); nothing else imports it but the
commands ``train`` and ``predict``.  Labels are completed in :mod:`~facebench.mnn.shape_space`, faces changed
in :mod:`~facebench.mnn.augmentation`; :mod:`~facebench.mnn.architecture` is the network,
:mod:`~facebench.mnn.training` makes weights of a recipe, :mod:`~facebench.mnn.prediction` uses them.
"""
