"""Data sets: their files, the preparation of their images, and facts about each.

`detectron2` and `mmdet` make a data set with that program's preparation.
"""

from collections.abc import Callable
from typing import NamedTuple

SIZES = {  # shorter side in training, by the argument `sizes`; '': the program's own for the data set
  '': {},
  '800': {'sizes': (800,)},
  '640+800': {'sizes': (640, 800)},
  '640+672+704+736+768+800': {'sizes': (640, 672, 704, 736, 768, 800)},
  '640-800': {'sizes': tuple(range(640, 801))},
  '480-800': {'sizes': tuple(range(480, 801))},
  'lsj': {'resize': 'large_scale_jitter', 'canvases': ((1024, 1024),)},
}
QUERY_SIZES = (480, 512, 544, 576, 608, 640, 672, 704, 736, 768, 800)  # for DETR, and for VOC in Detectron2


def data(
  name: str,
  folder: str,
  train: tuple[str, ...],
  val: tuple[str, ...],
  *,
  records: str = 'records',
  sampler: str = 'uniform',
  mask_size: int = 112,
  max_vertices: int = 256,
  ignore_marked: bool = False,
  ignore_min_side: int = 0,
  resize: str = 'shortest_edge',
  sizes: tuple[int, ...] = (640, 672, 704, 736, 768, 800),
  test_size: int = 800,
  max_size: int = 1333,
  crop: float = 0.0,
  crop_max_size: int = 1333,
  window: dict | None = None,
  photometric: str = '',
  semantic: dict | None = None,
  canvases: tuple[tuple[int, int], ...] = ((800, 1344), (1344, 800)),
  test_canvases: tuple[tuple[int, int], ...] = (),
  more_sources: dict[str, dict] | None = None,
) -> dict:
  """Makes `config.data`: files and preparation of images.

  Args:
    name: 'lvis', 'coco', 'voc', or 'shapes': the generated set.
    folder: folder of annotations and images.
    train, val: annotations, the first existing file below `folder`; for VOC joined splits: 'VOC2007/train+VOC2007/val'.
    records: prepared shards, below `folder`.
    sampler: of training images: 'repeat_factor', 'instance_repeat_factor', 'class_balanced', 'uniform'.
    mask_size: cells per side of an object's bitmap; 0: boxes only.
    max_vertices: mask targets come from outlines of up to this many vertices, as Detectron2's polygons; 0: from bitmaps
      only, as in mmdetection.
    ignore_marked, ignore_min_side: objects not used in training, besides crowds: those annotated 'ignore' (VOC:
      difficult), and those with a side of fewer pixels of the file.
    resize: 'shortest_edge'; 'large_scale_jitter'; 'stretch': to the canvas, changing the aspect ratio; 'center_crop':
      CornerNet's squares in training, the file's own size in evaluation.
    sizes, test_size: pixels of the shorter side in training (one is drawn) and evaluation.
    max_size: largest longer side.
    crop, crop_max_size: probability of DETR's crop in training: the file is resized to a shorter side of 400, 500 or
      600, at most `crop_max_size` on the longer one; a random part is cropped, then resized by `sizes` and `max_size`.
    window: random windows that are stretched in training, see `windows`; None: the whole image.
    photometric: distort colours in training, of the 'file' or of the 'canvas', padding beside the file included; '': do
      not.
    semantic: semantic maps, see `semantic_maps`; None: none.
    canvases: (height, width); wide ones first.
    test_canvases: canvases for detection; (): the same.
    more_sources: further sources of training images, by name: the settings that differ for each, at least `train`.
      `rate` is a source's share of the steps, relative to the others'.
  """
  return {
    'name': name,
    'dir': folder,
    'train': train,
    'val': val,
    'more_sources': more_sources or {},
    'rate': 1.0,
    # What must agree where two tables of categories meet, such as those of training and validation: 'ids_and_names';
    # 'ids' accepts other names, 'names' other ids in a checkpoint.
    'compare_categories': 'ids_and_names',
    'records': records,
    'max_objects': 300,  # per image; the pipeline counts dropped objects
    'ignore': {'marked': ignore_marked, 'min_side': ignore_min_side},
    'mask_size': mask_size,
    'max_vertices': max_vertices,
    'keypoints': {'points': 0, 'flip_pairs': ()},  # per object; pairs of points that a flip exchanges
    'semantic': semantic_maps('') if semantic is None else semantic,
    'image_labels': False,  # batches have image-level labels: classes known to be present
    'sampler': {'name': sampler, 'threshold': 1e-3},  # threshold of repeat factors
    # Paste objects of a second image: 'simple', or 'rare': preferably of rare classes; '': none.
    'copy_paste': {'name': '', 'probability': 1.0},
    'num_shots': '',  # file with training objects per class, for class losses; '': count them
    'resize': {
      'name': resize,
      'sizes': sizes,
      'test_size': test_size,
      'max_size': max_size,
      'jitter': (0.1, 2.0),  # of large_scale_jitter, relative to the canvas
      'crop': {'probability': crop, 'sizes': (400, 500, 600), 'max_size': crop_max_size, 'range': (384, 600)},
      'window': windows(expand_probability=0.0, min_ious=()) if window is None else window,
      'center_crop': {
        'scales': (0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3),  # side of the square relative to the canvas, one is drawn
        'border': 128,  # least distance of its centre from the file's sides, in pixels of the file
        'ground': (124, 116, 104),  # RGB
      },
    },
    'photometric': {
      'distort': bool(photometric),
      'of_file': photometric == 'file',
      'brightness': 32.0,  # largest added value, of 255
      'contrast': (0.5, 1.5),  # factors
      'saturation': (0.5, 1.5),
      'hue': 18.0,  # largest rotation in degrees
    },
    'flip': 0.5,  # probability
    'canvases': canvases,
    'test_canvases': test_canvases,
    'shapes': {'images': 0, 'val_images': 0, 'image_size': 0, 'categories': 0},  # of the generated set
  }


def semantic_maps(folder: str, *, nearest: str = 'corner') -> dict:
  """Semantic maps, with the images' file names.

  Args:
    folder: of the maps, below the data set's; '': none.
    nearest: nearest-neighbour rule of OpenCV ('corner', mmdetection) or of Pillow ('centre', Detectron2).
  """
  return {
    'dir': folder,
    'suffix': '.png',
    'ignore': 255,  # value of ignored pixels
    'nearest': nearest,
  }


def windows(*, expand_probability: float, min_ious: tuple[float, ...]) -> dict:
  """SSD's random windows on images, see input_pipeline/ssd_augmentation.py.

  Args:
    expand_probability: probability that an image is placed on a larger ground.
    min_ious: least IoUs of a crop with every object, one of which is drawn, or no such rule; (): no crops.
  """
  return {
    'expand_probability': expand_probability,
    'expand_ratio': 4.0,  # largest ratio of the ground's sides to the image's
    'ground': (123, 116, 103),  # RGB
    'min_ious': min_ious,
    'min_side': 0.3,  # least side of a crop, relative to the whole
  }


# COCO's panoptic annotations as Panoptic FPN is trained on them, made by scripts/panoptic_stuff.py.
PANOPTIC_STUFF = semantic_maps('panoptic_stuff_train2017', nearest='centre')


def lvis_v1(**settings) -> dict:
  """LVIS v1, images drawn by repeat factors; `settings` are arguments of `data`."""
  train = ('annotations/lvis_v1_train.json', 'lvis_v1_train.json', 'train.json')
  val = ('annotations/lvis_v1_val.json', 'lvis_v1_val.json', 'val.json')
  return data('lvis', 'data/lvis', train, val, **{'sampler': 'repeat_factor'} | settings)


def lvis_v05(**settings) -> dict:
  """LVIS v0.5, in the same folder with its own records."""
  train = ('annotations/lvis_v0.5_train.json', 'lvis_v0.5_train.json')
  val = ('annotations/lvis_v0.5_val.json', 'lvis_v0.5_val.json')
  own = {'records': 'records_v0.5', 'sampler': 'repeat_factor'}
  return data('lvis', 'data/lvis', train, val, **own | settings)


def coco(**settings) -> dict:
  """COCO 2017; `settings` are arguments of `data`."""
  train = ('annotations/instances_train2017.json', 'annotations/train.json', 'train.json')
  val = ('annotations/instances_val2017.json', 'annotations/val.json', 'val.json')
  return data('coco', 'data/coco', train, val, **settings)


def cityscapes(**settings) -> dict:
  """Cityscapes in COCO's format, as mmdetection converts it: images of 1024 x 2048."""
  train = ('annotations/instancesonly_filtered_gtFine_train.json', 'annotations/train.json', 'train.json')
  val = ('annotations/instancesonly_filtered_gtFine_val.json', 'annotations/val.json', 'val.json')
  own = {
    'sizes': (800, 832, 864, 896, 928, 960, 992, 1024),
    'test_size': 1024,
    'max_size': 2048,
    'canvases': ((1024, 2048), (2048, 1024)),
  }
  return data('coco', 'data/cityscapes', train, val, **own | settings)


def deepfashion(**settings) -> dict:
  """DeepFashion In-shop in COCO's format, as published, evaluated on the queries: images of 1101 x 750.

  Its folder `img` lies beside `Anno`, or in a folder `images`.
  """
  train = ('Anno/segmentation/DeepFashion_segmentation_train.json',)
  val = ('Anno/segmentation/DeepFashion_segmentation_query.json',)
  own = {'sizes': (750,), 'test_size': 750, 'max_size': 1101, 'canvases': ((768, 1120), (1120, 768))}
  return data('coco', 'data/deepfashion', train, val, **own | settings)


def voc(**settings) -> dict:
  """PASCAL VOC: trained on trainval of 2007 and 2012, evaluated on the test split of 2007; boxes only."""
  own = {'mask_size': 0, 'max_vertices': 0, 'sizes': QUERY_SIZES}
  return data('voc', 'data/VOCdevkit', ('VOC2007/trainval+VOC2012/trainval',), ('VOC2007/test',), **own | settings)


class Dataset(NamedTuple):
  """Settings of a data set for recipes."""

  data: Callable[..., dict]
  images: int  # training images with objects: the length of an epoch in mmdetection
  protocol: str  # of evaluation
  score_threshold: float  # usual score threshold of this protocol
  detections: int  # usual detections per image of this protocol


DATASETS = {  # by the name of the argument `dataset`
  'coco': Dataset(coco, 117_266, 'coco', 0.05, 100),
  'lvis_v1': Dataset(lvis_v1, 100_170, 'lvis', 1e-4, 300),
  'lvis_v0.5': Dataset(lvis_v05, 57_263, 'lvis', 1e-4, 300),
  'cityscapes': Dataset(cityscapes, 2_965, 'coco', 0.05, 100),
  'voc': Dataset(voc, 16_551, 'voc', 0.05, 100),
  'voc_ms': Dataset(voc, 16_551, 'voc', 0.05, 100),
  'deepfashion': Dataset(deepfashion, 25_882, 'coco', 0.05, 100),
}

OF_MMDET = {  # mmdetection's other preparation of images
  'coco': {'sizes': (800,)},
  'voc': {
    'ignore_marked': True,
    'ignore_min_side': 33,  # mmdetection: 32, for boxes that end a pixel earlier
    'sizes': (600,),
    'test_size': 600,
    'max_size': 1000,
    'canvases': ((608, 1024), (1024, 608)),
  },
  'voc_ms': {'ignore_marked': True},  # images as in Detectron2
}


def detectron2(dataset: str, sizes: str = '', **settings) -> dict:
  """Data set with Detectron2's preparation: several sizes of training images, and masks as polygons."""
  return DATASETS[dataset].data(**SIZES[sizes] | settings)


def mmdet(dataset: str, sizes: str = '') -> dict:
  """Data set with mmdetection's preparation: COCO with one size of training images; masks from bitmaps."""
  return DATASETS[dataset].data(**{'max_vertices': 0} | OF_MMDET.get(dataset, {}) | SIZES[sizes])


def for_queries(dataset: str, crop_max_size: int) -> dict:
  """Data set for query detectors: half of the images cropped; boxes only; COCO drawn uniformly."""
  return DATASETS[dataset].data(mask_size=0, max_vertices=0, sizes=QUERY_SIZES, crop=0.5, crop_max_size=crop_max_size)


def stretched(dataset: str, size: int) -> dict:
  """Data set for SSD: images stretched to size x size, with random windows and photometric distortion; boxes only."""
  return DATASETS[dataset].data(
    mask_size=0,
    max_vertices=0,
    resize='stretch',
    window=windows(expand_probability=0.5, min_ious=(0.1, 0.3, 0.5, 0.7, 0.9)),
    photometric='canvas',
    canvases=((size, size),),
  )


def center_cropped(dataset: str, size: int, test_size: int) -> dict:
  """Data set for CornerNet: squares around random points, colour distortion, detection in the file's own size.

  Args:
    dataset: a name in DATASETS.
    size: side of training images in pixels.
    test_size: side of the canvas for detection in pixels.
  """
  return DATASETS[dataset].data(
    mask_size=0,
    max_vertices=0,
    resize='center_crop',
    photometric='file',
    canvases=((size, size),),
    test_canvases=((test_size, test_size),),
  )
