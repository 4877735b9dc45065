# SPDX-License-Identifier: Apache-2.0
"""Max pool and 3x3 convolution: XLA's tricks in programs for CPUs, and none of them in those for CUDA and TPUs."""

import re
from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from barrel_jax.models.resnet import ResNet
from barrel_jax.models.windows import convolve, max_pool

PLATFORMS = ("cpu", "cuda", "tpu")
NHWC = jax.lax.conv_dimension_numbers((1, 1, 1, 1), (1, 1, 1, 1), ("NHWC", "HWIO", "NHWC"))


def lowered(program, *arguments):
    """The program as text for each platform."""
    traced = jax.jit(program).trace(*arguments)
    return {name: traced.lower(lowering_platforms=(name,)).as_text() for name in PLATFORMS}


def count(text, name):
    return len(re.findall(rf"stablehlo\.{name}\b", text))


def test_a_step_for_cuda_or_a_tpu_has_the_plain_operations_and_one_for_a_cpu_the_tricks():
    """ResNet-18 at stride 16: two 3x3 convolutions of dilation 2; forward, then forward and backward."""
    model, images = ResNet("resnet18", 16, "batch", jnp.float32), jnp.zeros((2, 64, 64, 3))
    variables = jax.eval_shape(lambda: model.init(jax.random.key(0), images, train=False))
    forward = lowered(lambda v, x: model.apply(v, x, train=False), variables, images)
    backward = lowered(jax.grad(lambda v, x: model.apply(v, x, train=False).sum()), variables, images)
    for name in ("cuda", "tpu"):
        assert "optimization_barrier" not in forward[name] + backward[name]
        assert count(forward[name], "reduce_window") == 1
        assert count(backward[name], "select_and_scatter") == 1
        assert forward[name].count("rhs_dilate = [2, 2]") == 2
        assert count(forward[name], "pad") == 0
    assert count(forward["cpu"], "optimization_barrier") == 4 and count(backward["cpu"], "optimization_barrier") == 8
    assert count(backward["cpu"], "reduce_window") == count(backward["cpu"], "select_and_scatter") == 0
    assert forward["cpu"].count("rhs_dilate = [2, 2]") == 0
    # One convolution for each of the network's: what another platform would have done is gone, not merely passed over.
    assert [count(forward[name], "convolution") for name in PLATFORMS] == [20, 20, 20]


def test_the_third_row_of_zeros_is_for_cpus():
    """Crops of 64 px at stride 32 end in grids of 2 x 2."""
    model, images = ResNet("resnet18", 32, "batch", jnp.float32), jnp.zeros((2, 64, 64, 3))
    variables = jax.eval_shape(lambda: model.init(jax.random.key(0), images, train=False))
    texts = lowered(lambda v, x: model.apply(v, x, train=False), variables, images)
    convolved = {
        name: re.findall(r"stablehlo\.convolution.*: \(tensor<2x(\d)x\dx512xf32>", texts[name]) for name in texts
    }
    assert convolved == {"cpu": ["3"] * 3, "cuda": ["2"] * 3, "tpu": ["2"] * 3}
    assert "optimization_barrier" in texts["cpu"] and "optimization_barrier" not in texts["cuda"] + texts["tpu"]


def test_a_program_for_several_platforms_has_both_and_gives_the_same_numbers():
    (batch,) = jax.export.symbolic_shape("B")
    images = jax.ShapeDtypeStruct((batch, 12, 10, 4), jnp.float32)
    exported = jax.export.export(jax.jit(max_pool), platforms=PLATFORMS)(images)
    x = jax.random.normal(jax.random.key(0), (3, 12, 10, 4))
    assert "reduce_window" in exported.mlir_module()
    np.testing.assert_array_equal(jax.jit(jax.export.deserialize(exported.serialize()).call)(x), max_pool(x))


@pytest.fixture(params=[(1, 2, (8, 10)), (2, 1, (4, 3)), (2, 1, (3, 4)), (1, 1, (2, 2)), (1, 4, (7, 5))], ids=str)
def case(request):
    """A convolution of stride, dilation and size, and the plain one."""
    stride, dilation, size = request.param
    rest = {"rhs_dilation": (dilation,) * 2, "dimension_numbers": NHWC}
    strides, padding = (stride,) * 2, ((dilation, dilation),) * 2
    ours = partial(convolve, strides=strides, padding=padding, **rest)
    plain = partial(jax.lax.conv_general_dilated, window_strides=strides, padding=padding, **rest)
    x = jax.random.normal(jax.random.key(0), (8, *size, 3))
    return ours, plain, x, jax.random.normal(jax.random.key(1), (3, 3, 3, 4))


def gradients(convolution, x, kernel):
    return jax.grad(lambda x, kernel: jnp.sin(convolution(x, kernel)).sum(), argnums=(0, 1))(x, kernel)


def agree(ours, expected):
    chex.assert_trees_all_close(ours, expected, rtol=1e-4, atol=1e-4)


def test_gradients_alone_mapped_scanned_and_split_over_devices_are_the_plain_convolutions(case):
    ours, plain, x, kernel = case
    expected = gradients(plain, x, kernel)
    agree(jax.jit(partial(gradients, ours))(x, kernel), expected)
    agree(gradients(ours, x, kernel), expected)  # without jit

    mapped = [jax.jit(jax.vmap(partial(gradients, one)))(x[:, None], jnp.stack([kernel] * 8)) for one in (ours, plain)]
    agree(*mapped)

    @jax.jit
    def scanned(x, kernel):
        return jax.lax.scan(lambda total, one: (total, gradients(ours, one[None], kernel)[0][0]), 0.0, x)[1]

    agree(scanned(x, kernel), expected[0])

    mesh = Mesh(np.array(jax.devices()), ("data",))
    split = jax.device_put(x, NamedSharding(mesh, PartitionSpec("data")))
    compiled = jax.jit(partial(gradients, ours)).lower(split, kernel).compile()
    of_x, of_kernel = compiled(split, kernel)
    agree((of_x, of_kernel), expected)
    assert of_x.sharding.spec == PartitionSpec("data")
    # The kernel's gradient is summed over the devices; nothing else travels, and no choice is left to make.
    assert "all-gather" not in compiled.as_text() and " conditional(" not in compiled.as_text()


def test_other_platforms_have_the_same_numbers(case, monkeypatch):
    """The branches that no CPU takes, computed on one: they are what CUDA and TPUs are given."""
    ours, plain, x, kernel = case
    with monkeypatch.context() as patch:
        patch.setattr(jax.lax, "platform_dependent", lambda *given, cpu, default: default(*given))
        pooled, convolved = max_pool(x), ours(x, kernel)
    agree(convolved, plain(x, kernel))
    padded = np.pad(x, ((0, 0), (1, 2), (1, 2), (0, 0)), constant_values=-np.inf)
    by_hand = [
        [padded[:, i : i + 3, j : j + 3].max((1, 2)) for j in range(0, x.shape[2], 2)] for i in range(0, x.shape[1], 2)
    ]
    np.testing.assert_array_equal(pooled, np.transpose(by_hand, (2, 0, 1, 3)))
