"""The RPN head's layout."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxdet.models.dense_heads.rpn_head import RPNHead


def test_an_anchors_four_deltas_are_neighbours():
  head = RPNHead(1, 8, 3)
  features = {2: jnp.ones((1, 2, 2, 4))}
  params = head.init(jax.random.key(0), features)['params']
  params = jax.tree.map(jnp.zeros_like, params)
  params['deltas']['bias'] = jnp.arange(12.0)
  params['logits']['bias'] = jnp.arange(3.0)
  logits, deltas = head.apply({'params': params}, features)
  np.testing.assert_array_equal(logits[2][0, 1, 1], [0, 1, 2])
  np.testing.assert_array_equal(deltas[2][0, 1, 1], [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]])


def test_one_set_of_weights_serves_all_levels():
  head = RPNHead(2, 8, 3, dtype=jnp.bfloat16)
  x = jax.random.normal(jax.random.key(1), (1, 4, 4, 8))
  (logits, deltas), variables = head.init_with_output(jax.random.key(0), {3: x, 4: x[:, :3]})
  assert set(variables['params']) == {'conv0', 'conv1', 'logits', 'deltas'}
  assert logits[4].shape == (1, 3, 4, 3) and deltas[3].shape == (1, 4, 4, 3, 4)
  assert logits[3].dtype == deltas[3].dtype == jnp.float32
  np.testing.assert_array_equal(logits[3][:, 0], logits[4][:, 0])  # a row that sees the same three


def test_nothing_below_zero_leaves_the_hidden_layer():
  head = RPNHead(1, 1, 1)
  features = {2: jnp.ones((1, 1, 1, 1))}
  params = jax.tree.map(jnp.ones_like, head.init(jax.random.key(0), features)['params'])
  params['conv0']['bias'] = jnp.array([-5.0])
  logits, _ = head.apply({'params': params}, features)
  assert logits[2].item() == 1.0  # only the bias is left
