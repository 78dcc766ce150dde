"""Imports every module of training that registers a component, which fills the registries."""

from __future__ import annotations

import hpsearch.training.augmentation.colour
import hpsearch.training.augmentation.erasing
import hpsearch.training.augmentation.geometric
import hpsearch.training.augmentation.mixing
import hpsearch.training.augmentation.policies
import hpsearch.training.data.sources
import hpsearch.training.lr_schedules
import hpsearch.training.models.activations
import hpsearch.training.models.airbench
import hpsearch.training.models.classic_cnns
import hpsearch.training.models.dense
import hpsearch.training.models.report_cnns
import hpsearch.training.models.resnets
import hpsearch.training.models.small_cnns
import hpsearch.training.models.timm_models
import hpsearch.training.models.torchvision_models
import hpsearch.training.muon
import hpsearch.training.optimizers
import hpsearch.training.regularizers  # noqa: F401 - imported for what they register
