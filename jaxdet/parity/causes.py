"""Why a recorded number is missed, where that is known and neither side is wrong."""

CAUSES = {
  'mmdet/lvis_mask_rcnn_r101_fpn_v05': (
    'The weights saturate the region proposal network: dozens of anchors have the same float32 probability (0.9999999). '
    "mmdetection ranks probabilities by torch's sort, which is not stable, so that the order of equals is the recording "
    "machine's; jaxdet ranks the logits, which differ. Another of two overlapping boxes survives, and what follows from "
    'the proposals is off. All that does not depend on their order (features, logits, given regions) agrees.'
  ),
}
