"""Assigners and samplers by the names that configs have for them."""

from jaxdet.assign.balanced_sampler import sample_balanced_rows
from jaxdet.assign.matcher import match
from jaxdet.assign.sampler import hardest_rows, sample_mask, sample_rows

ASSIGNERS = {'max_iou': match}
# Samplers see the whole match: labels, objects and IoUs.
# Indices of sampled rows, for heads that compute these only.
ROW_SAMPLERS = {'random': sample_rows, 'balanced': sample_balanced_rows}
LOSS_SAMPLERS = {'hardest': hardest_rows}  # indices of rows sampled by their losses, see box_stages/hard_examples.py
MASK_SAMPLERS = {'random': sample_mask}  # a mask over all rows, for heads that compute every row
