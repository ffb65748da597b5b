"""Why a recorded number is missed, where that is known and neither side is wrong."""

EQUAL_PROBABILITIES = (
  'The weights saturate the region proposal network: many anchors have the same float32 probability, 0.9999999. '
  "mmdetection ranks probabilities with torch's sort, which is not stable; jaxdet ranks the logits, which differ. "
  'Another of two overlapping boxes survives, and what follows from the proposals is off. What does not depend on '
  'their order (feature maps, logits, given regions) agrees.'
)

CAUSES = {
  'mmdet/lvis_mask_rcnn_r101_fpn_v05': EQUAL_PROBABILITIES,
  'mmdet/mask_rcnn_r101_fpn': EQUAL_PROBABILITIES,
}
