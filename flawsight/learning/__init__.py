"""From a manifest to a model file: backbones, training, calibration, evaluation, export."""
