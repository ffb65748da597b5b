"""Assigners and samplers by the names that configs have for them."""

from jaxdet.assign.matcher import match
from jaxdet.assign.sampler import hardest_rows, sample_mask, sample_rows

ASSIGNERS = {'max_iou': match}
ROW_SAMPLERS = {'random': sample_rows}  # indices of sampled rows, for heads that compute these only
LOSS_SAMPLERS = {'hardest': hardest_rows}  # indices of rows sampled by their losses, see box_stages/hard_examples.py
MASK_SAMPLERS = {'random': sample_mask}  # a mask over all rows, for heads that compute every row
