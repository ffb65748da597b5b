"""The complete configuration that every config of the R-CNN family starts from: every number a user may change is here.

Mask R-CNN R50-FPN on LVIS v1 with repeat-factor sampling: heads, losses and schedule are those of Detectron2's
LVISv1-InstanceSegmentation/mask_rcnn_R_50_FPN_1x; the backbone has torchvision's form (stride in the 3 x 3, RGB,
ImageNet deviation). It is no config itself: `--config` takes the files beside it.
"""

from ml_collections import ConfigDict, config_dict


def base_config() -> ConfigDict:
  """The configuration, unlocked."""
  return ConfigDict(
    {
      'seed': 0,
      # Folder where compiled programs are kept from run to run; '': none. None: JAX_COMPILATION_CACHE_DIR where that is
      # set, else the user's cache folder.
      'compilation_cache': config_dict.placeholder(str),
      'model': mask_rcnn(),
      'data': lvis(),
      'train': training(),
      'eval': evaluation(),
    }
  )


def mask_rcnn() -> dict:
  """Mask R-CNN R50-FPN."""
  return {
    'name': 'mask_rcnn',  # or 'cascade_rcnn', 'proposal_network'
    # None: as many as the annotation file's category table has.
    'num_classes': config_dict.placeholder(int),
    # Of the training annotations, for class losses that ask: () is filled in when training begins.
    'class_counts': {'images': (), 'instances': (), 'num_images': 0},
    'dtype': 'bfloat16',  # of activations; parameters, losses and geometry are float32
    # 'blocks': the backward pass computes the insides of residual blocks and transformer layers again, in less memory.
    'remat': '',
    'pixel_mean': (123.675, 116.28, 103.53),  # RGB
    'pixel_std': (58.395, 57.12, 57.375),
    'channel_order': 'RGB',  # that imported and exported weights expect; here images are always RGB
    'backbone': {
      'name': 'resnet',
      'depth': 50,
      'style': 'pytorch',  # stride in the 3 x 3; 'caffe': in the first 1 x 1
      'norm': 'frozen_bn',  # or 'bn_eval' (affine trained), 'sync_bn', 'gn', 'gn_ws'
      'groups': 1,  # ResNeXt 32x4d: groups 32, group_width 4
      'group_width': 64,
      'stem_width': 64,  # channels of the stem; the stages follow
      'num_stages': 4,  # 3: the last one is the regions' shared head (C4)
      'dilate_last': False,  # the last stage at stride 16 (DC5)
      'deformable': '',  # the 3 x 3 of some stages: 'v1' or 'v2' (deformable convolution)
      'deformable_levels': (3, 4, 5),  # the stages
      'deformable_groups': 1,
      'frozen_stages': 1,  # 1: stem and first stage; 0: stem; -1: nothing
    },
    'neck': {
      'name': 'fpn',
      'levels': (2, 3, 4, 5, 6),
      'channels': 256,
      'norm': '',
      'extra': 'pool',  # levels above 5: every other pixel; 'input', 'output': by convolutions, see necks/fpn.py
      'extra_relu': False,  # before every such convolution but the first
    },
    'rpn': {
      'name': 'rpn',  # '': none; proposals come with the batch (Fast R-CNN)
      'num_convs': 1,
      'channels': 256,
      'anchors': {
        'sizes': ((32,), (64,), (128,), (256,), (512,)),  # pixels, one tuple a level
        'aspect_ratios': (0.5, 1.0, 2.0),  # height / width
        'major': 'size',  # outer loop of a cell's anchors; mmdetection: 'aspect_ratio'
        'offset': 0.0,  # of an anchor's centre in its cell, in strides
        'rounded': False,  # whole pixels, as mmdetection 1.x had them
      },
      'coder': {
        'weights': (1.0, 1.0, 1.0, 1.0),
        'clamp': 'above',  # of scales; mmdetection: 'both'
        'clip': True,  # to the image
        'extra': 0,  # 1: the corners of boxes are inclusive (mmdetection 1.x)
      },
      # low_quality: an object's best anchors are positive though below positive_iou, and belong to
      # 'own': the object they overlap most (Detectron2); 'object': that object (mmdetection); 'none': off.
      'matcher': {'negative_iou': 0.3, 'positive_iou': 0.7, 'low_quality': 'own', 'low_quality_min_iou': 0.0},
      'train_anchors': 'canvas',  # mmdetection: 'image', only those on the image's own padded size
      'border': -1,  # >= 0: anchors that cross the image by more pixels take no part in training
      'sampler': {'num': 256, 'positive_fraction': 0.5},  # num 0: take every anchor
      'normalizer': 256,  # anchors an image by which the losses are divided; 0: those sampled (mmdetection)
      'loss': {'name': 'smooth_l1', 'beta': 0.0, 'weight': 1.0},  # beta 0: L1; or the name of an IoU loss
      'train_proposals': {'pre_nms': 2000, 'post_nms': 1000, 'iou': 0.7, 'min_size': 0.0},
      'test_proposals': {'pre_nms': 1000, 'post_nms': 1000, 'iou': 0.7, 'min_size': 0.0},
    },
    'roi': {
      'levels': (2, 3, 4, 5),
      'canonical_size': 224,
      'canonical_level': 4,
      'aligned': True,
      'sampling_ratio': 0,  # 0: as many samples as a bin has pixels
      'deformable_pooling': '',  # for the box head: 'v1' or 'v2' (deformable RoI pooling) in the place of RoIAlign
      'matcher': {'negative_iou': 0.5, 'positive_iou': 0.5, 'low_quality': 'none', 'low_quality_min_iou': 0.0},
      'sampler': {'num': 512, 'positive_fraction': 0.25},
      'add_ground_truth': True,  # as proposals
      'shared_head': '',  # 'res5': the backbone's last stage on every region (C4)
      'box_head': {
        'name': 'conv_fc',
        'num_convs': 0,
        'conv_channels': 256,
        'norm': '',  # of the convolutions
        'num_fcs': 2,  # 0: the mean over the region
        'channels': 1024,
        'roi_size': 7,
        'class_agnostic': False,
        'classifier': 'linear',  # or 'cosine'; 'normed': mmdetection's for the seesaw loss
        'tau': 0.0,  # of a linear classifier: normalised after training, 1: wholly (tau-normalisation)
        'cosine_scale': 20.0,  # of a cosine classifier
        'cosine_scale_learned': True,
        'cosine_bias': False,
        'calibration': '',  # 'disalign' or 'lws': trained alone, on a trained model
        'retrain_classifier': False,  # alone, on a trained model (cRT)
      },
      'coder': {'weights': (10.0, 10.0, 5.0, 5.0), 'clamp': 'above', 'clip': True, 'extra': 0},
      'loss': {'name': 'smooth_l1', 'beta': 0.0, 'weight': 1.0},
      'class_loss': {'name': 'cross_entropy'},  # or another of losses/class_loss.py, with its settings
      'mask_head': {
        'name': 'conv',
        'num_convs': 4,
        'channels': 256,
        'norm': '',
        'roi_size': 14,
        'class_agnostic': False,
        'predictor': 'conv',  # or 'normed', as the box head's classifier
      },
    },
    'test': {
      'score_threshold': 0.0001,
      'iou': 0.5,
      'detections': 300,
      'drop_empty': True,  # boxes without area, after suppression; mmdetection: False
      'candidates': 4096,  # (box, class) pairs an image that enter NMS, best first
    },
  }


def lvis() -> dict:
  """Where the annotations and images are, and how an image reaches the canvas."""
  return {
    'name': 'lvis',  # or 'coco', 'voc', or 'shapes': the generated set
    'dir': 'data/lvis',
    # The first of these that exists below `dir`; of VOC, splits that are joined: 'VOC2007/train+VOC2007/val'.
    'train': ('annotations/lvis_v1_train.json', 'lvis_v1_train.json', 'train.json'),
    'val': ('annotations/lvis_v1_val.json', 'lvis_v1_val.json', 'val.json'),
    'records': 'records',  # prepared shards, below `dir`
    'max_objects': 300,  # an image; the pipeline counts what it drops
    # What training leaves out beside crowds: objects that the annotations mark with 'ignore' (VOC: difficult), and
    # those with a side of fewer pixels of the file.
    'ignore': {'marked': False, 'min_side': 0},
    'mask_size': 112,  # cells along the side of an object's bitmap; 0: boxes alone
    # Masks are drawn from outlines of up to so many vertices, as Detectron2's polygons; 0: from bitmaps alone.
    'max_vertices': 256,
    # Of training images: or 'instance_repeat_factor', 'class_balanced', 'uniform'. `threshold`: of the repeat factors.
    'sampler': {'name': 'repeat_factor', 'threshold': 1e-3},
    # Objects of a second image are pasted onto an image: 'simple', or 'rare': rather those of rare classes; '': none.
    'copy_paste': {'name': '', 'probability': 1.0},
    'num_shots': '',  # file of the training objects of each class, for class losses; '': they are counted
    'resize': {
      'name': 'shortest_edge',  # or 'large_scale_jitter'
      'sizes': (640, 672, 704, 736, 768, 800),  # pixels of the shorter side in training
      'test_size': 800,
      'max_size': 1333,
      'jitter': (0.1, 2.0),  # of large_scale_jitter, relative to the canvas
      # DETR's, with this probability in training (of shortest_edge): the file is resized by a shorter side of `sizes`
      # and a longer one of `max_size`, and a part with sides in `range` is what `sizes` and `max_size` above are for.
      'crop': {'probability': 0.0, 'sizes': (400, 500, 600), 'max_size': 1333, 'range': (384, 600)},
    },
    'flip': 0.5,  # probability
    'canvases': ((800, 1344), (1344, 800)),  # (height, width); wide ones first
    'shapes': {'images': 0, 'val_images': 0, 'image_size': 0, 'categories': 0},  # of the generated set
  }


def training() -> dict:
  """Detectron2's 1x schedule for LVIS v1: 180k steps of 16 images."""
  return {
    'steps': 180_000,
    'batch_size': 16,  # images over all devices
    'accumulate': 1,  # micro-batches a step
    'optimizer': {
      'name': 'sgd',  # or 'adamw'
      'momentum': 0.9,  # of 'sgd'
      'weight_decay': 1e-4,
      'weight_decay_norm': 0.0,  # Detectron2: 0; mmdetection: as weight_decay
      'bias_decay': 1.0,  # of weight_decay, for the biases of other layers; mmdetection's FCOS: 0
      'clip_norm': 0.0,  # global gradient norm; 0: no clipping
      'lr_factors': {},  # of parameters whose path has this in it, as a regular expression: {'^backbone/': 0.1}
    },
    'schedule': {
      'name': 'multistep',  # or 'cosine'
      'base_lr': 0.02,
      'base_batch_size': 16,  # the learning rate is base_lr * batch_size / base_batch_size
      'milestones': (120_000, 160_000),
      'gamma': 0.1,
      'warmup': 'linear',  # from warmup_factor times the rate; or 'constant': at it
      'warmup_steps': 1000,
      'warmup_factor': 0.001,
    },
    'ema_decay': 0.0,  # 0: none
    'init_from': '',  # a checkpoint whose parameters are the start, where names and shapes agree
    'init_except': (),  # patterns of arrays that start anew all the same, as 'params/box_head*/logits/*'
    'log_every': 20,
    'checkpoint_every': 5000,
    'keep_checkpoints': 3,
    'best_metric': 'segm/AP',
    'eval_every': 0,  # steps; 0: at the end
  }


def evaluation() -> dict:
  return {
    'batch_size': 8,
    'protocol': 'lvis',  # or 'coco', 'lvis_fixed' (fixed AP), 'voc'
    # A file of ids (JSON list, text, annotation file): these images of the validation split alone. '': all.
    'image_ids': '',
    'iou_types': ('bbox', 'segm'),
    'pictures': 16,  # drawn into the workdir
    'picture_threshold': 0.5,  # score from which a detection is drawn
  }
