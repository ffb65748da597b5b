"""Package metadata: `pip install .` for use, `pip install -e '.[test]'` to work on it."""

import pathlib

import setuptools

HERE = pathlib.Path(__file__).parent

setuptools.setup(
  name='jaxdet',
  version='0.1.0',
  description='Detection and instance segmentation with large vocabularies in JAX',
  long_description=(HERE / 'README.md').read_text(),
  long_description_content_type='text/markdown',
  license='Apache-2.0',
  python_requires='>=3.11',
  classifiers=[f'Programming Language :: Python :: 3.{minor}' for minor in (11, 12, 13)],
  packages=setuptools.find_packages(include=['jaxdet', 'jaxdet.*', 'input_pipeline', 'input_pipeline.*']),
  entry_points={'console_scripts': ['jaxdet = jaxdet.main:main']},
  install_requires=[
    'absl-py>=2.1',
    'etils[epath]>=1.9',
    'flax>=0.12',
    'jax>=0.10',
    'jaxtyping>=0.3',
    'ml_collections>=1.0',
    'numpy>=2.0',
    'optax>=0.2.5',
    'orbax-checkpoint>=0.11.30',
    'pillow>=11',
    'pycocotools>=2.0.8',
    'scipy>=1.13',
    'array_record>=0.8',
    'tqdm>=4.66',
  ],
  extras_require={
    'test': [
      'flatbuffers>=24',
      'hypothesis>=6',
      'pytest>=8',
      'pytest-xdist>=3.6',
      'ruff>=0.8',
      'safetensors>=0.4',
      'tensorflow-datasets>=4.9.9',
    ],
    'tfds': ['tensorflow-datasets>=4.9.9'],  # input_pipeline/builder.py, a TFDS builder
    'convert': ['flatbuffers>=24', 'safetensors>=0.4'],  # export --to stablehlo; .safetensors files
    'torch': ['torch>=2.6'],  # .pth files
    'docs': ['matplotlib>=3.8'],  # scripts/overfit.py --docs
    'cuda': ['jax[cuda12]>=0.10'],
    'tpu': ['jax[tpu]>=0.10'],
  },
)
