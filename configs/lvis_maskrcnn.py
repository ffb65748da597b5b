"""Mask R-CNN on LVIS v1: R50-FPN, repeat-factor sampling, as Detectron2's
LVISv1-InstanceSegmentation/mask_rcnn_R_50_FPN_1x (published: box AP 24.9? see docs/lvis.md; mask AP 23.6? there).

  --config configs/lvis_maskrcnn.py        the full model, data under config.data.dir
  --config configs/lvis_maskrcnn.py:mini   a small model on generated images; minutes on a laptop
"""
