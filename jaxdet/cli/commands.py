"""Table of commands by name."""

from jaxdet.cli import bench, counts, evaluate, export_weights, import_weights, inspect, predict, train, zoo
from jaxdet.cli.command import Command

DEFAULT = 'train'  # if no command is given

COMMANDS = {
  'train': Command(
    train.TrainFlags,
    train.run,
    'trains, from the last checkpoint of the workdir if there is one, and evaluates at the end',
    'train --config configs/lvis_maskrcnn.py:mini --workdir runs/mini --config.train.steps=500',
  ),
  'eval': Command(
    evaluate.EvalFlags,
    evaluate.run,
    'evaluates a checkpoint on the validation data of its config',
    'eval --workdir runs/mini',
  ),
  'predict': Command(
    predict.PredictFlags,
    predict.run,
    'writes detections and pictures of images',
    'predict --workdir runs/mini --output out photo.jpg folder/ list.txt',
  ),
  'import': Command(
    import_weights.ImportFlags,
    import_weights.run,
    "writes another program's weights as the first checkpoint of a workdir",
    'import --from detectron2 model_final.pkl --config configs/detectron2/mask_rcnn.py --workdir runs/d2',
  ),
  'export': Command(
    export_weights.ExportFlags,
    export_weights.run,
    'writes a checkpoint for another program, or its prediction as StableHLO',
    'export --to mmdet --workdir runs/lvis --output lvis.pth',
  ),
  'inspect': Command(
    inspect.InspectFlags,
    inspect.run,
    'prints all problems and the statistics of a data set, without making records',
    'inspect --data data/coco/annotations/instances_val2017.json',
  ),
  'counts': Command(
    counts.CountsFlags,
    counts.run,
    'prints the training images and objects of each category',
    'counts --config configs/lvis_maskrcnn.py --config.data.dir=data/lvis --output counts',
  ),
  'zoo': Command(
    zoo.ZooFlags,
    zoo.run,
    'prints the models of configs/zoo.csv: parameters, published AP, parity',
    "zoo '*retinanet*' --flops",
  ),
  'bench': Command(
    bench.BenchFlags,
    bench.run,
    'measures time and memory of training steps and predictions on synthetic images',
    'bench --config configs/lvis_maskrcnn.py --dtype float32,bfloat16 --vs torchvision --stages',
  ),
}
