"""Measurements that were never made, for tables."""

COMMON = {
  'config': 'configs/x.py:mini',
  'images': 2,
  'canvas': [128, 192],
  'objects': 13,
  'classes': 48,
  'date': '2026-01-02',
  'command': 'python -m jaxdet.main bench --config x.py:mini --torch_python /opt/torch --json=x.json --vs torchvision',
  'machine': {'processor': 'Abacus 9', 'cores': 2, 'memory_gib': 24, 'system': 'Linux'},
  'versions': {'jax': '0.10.2', 'python': '3.11.9'},
}


def jaxdet_record(task: str = 'train', dtype: str = 'float32', seconds: float = 2.0, **more) -> dict:
  return {
    'kind': 'program',
    'program': 'jaxdet',
    'task': task,
    'mode': dtype,
    **COMMON,
    'device': {'backend': 'cpu', 'kind': 'cpu', 'count': 1},
    'trace_s': 1.0,
    'compile_s': 17.25,
    'step_s': seconds,
    'spread_s': 0.125,
    'calls': 5,
    'images_per_s': 2 / seconds,
    'flops': 1e12,
    'flops_per_s': 1e12 / seconds,
    'peak_flops_per_s': 1e12,
    'peak_share': 1 / seconds,
    'memory_gib': {'device': None, 'compiler': 4.25, 'process': 6.5},
    **more,
  }


def torchvision_record(task: str = 'train', mode: str = 'eager', seconds: float = 4.0, **more) -> dict:
  return {
    'kind': 'program',
    'program': 'torchvision',
    'task': task,
    'mode': mode,
    **COMMON,
    'versions': {'jax': '0.10.2', 'python': '3.11.9', 'torch': '2.13.0'},
    'model': 'maskrcnn_resnet50_fpn',
    'first_s': 5.0,
    'step_s': seconds,
    'spread_s': 0.5,
    'calls': 5,
    'images_per_s': 2 / seconds,
    'memory_gib': {'device': None, 'process': 5.75},
    **more,
  }


def stages_record(**more) -> dict:
  stages = [('backbone', 0.1, 0.2), ('proposals', 0.05, None), ('all else', 0.05, 0.05)]
  return {
    'kind': 'stages',
    'program': 'jaxdet',
    'task': 'train',
    'mode': 'float32',
    **COMMON,
    'device': {'backend': 'cpu', 'kind': 'cpu', 'count': 1},
    'stages': [{'step': name, 'forward_s': forward, 'backward_s': backward} for name, forward, backward in stages],
    'forward_s': 0.19,
    'backward_s': 0.24,
    'optimizer_s': 0.05,
    'step_s': 0.47,
    **more,
  }
