"""Known causes of differences from recorded numbers."""

FLOAT32_SUMS = (
  'Gradients behind group norm are small differences of large sums, which float32 rounds on both sides: some of the '
  'recorded norms are missed in float64 as well, others by jaxdet in float32 alone.'
)

CAUSES = {
  'detectron2/mask_rcnn_R_50_DC5_1x': (
    'jaxlib 0.10.2 computes a wrong kernel gradient on this CPU: without the fusions that XLA hands to YNNPACK the '
    'norms agree to 1.2e-4, see reliability.md.'
  ),
  'detic/BoxSup-DeformDETR_L_R50_4x': (
    "The first stage's scores of two neighbouring queries of the second image differ by 1.4e-6: they come in the other "
    'order, in float64 too, and rows of the decoder are compared by their place. The recorded row equals the '
    "neighbouring one of jaxdet's."
  ),
  'detectron2/panoptic_fpn_R_101_dconv_cascade_gn_3x': FLOAT32_SUMS,
  'detectron2/scratch_mask_rcnn_R_50_FPN_3x_gn': FLOAT32_SUMS,
  'mmdet/scratch_faster_rcnn_r50_fpn_gn': FLOAT32_SUMS,
  'mmdet/scratch_mask_rcnn_r50_fpn_gn': FLOAT32_SUMS,
  'mmdet/gn_ws_faster_rcnn_r50_fpn': FLOAT32_SUMS,
  'mmdet/gn_ws_mask_rcnn_x50_32x4d_fpn': FLOAT32_SUMS,
  'detectron2/mask_rcnn_R_50_FPN_1x_pixel_std_1': (
    'Pixels that are not divided by their deviation saturate everything: all scores are 1, and boxes are slivers. The '
    'recorded mask features are those of all detections, the ones without area among them, which Detectron2 drops '
    'after its mask head and jaxdet before; their rows cannot be compared. The mask of one sliver differs.'
  ),
}
