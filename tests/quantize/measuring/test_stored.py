"""What is quantised in a folder, told from the folder alone."""

import pytest
from safetensors.torch import load_file, save_file

from models import store
from models.progress import Progress, Silent
from models.refs import QuantScheme
from quantize import registry
from quantize.errors import UnsuitableModelError
from quantize.measuring.stored import layers_of
from quantize.plan import planning
from quantize.plan.scheme_plan import QuantOptions
from quantize.write import result, source
from quantize.write.run import Quantisation
from tests.tiny_models import write_tiny_model


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return write_tiny_model(tmp_path_factory.mktemp("tiny") / "tiny", dtype="bfloat16")


def quantised(full, target, options):
    return Quantisation(
        source=store.load_folder(full, name="tiny"),
        options=options,
        target=target,
        data_dir=target.parent / "data",
        progress=Progress(Silent()),
    ).run()


def meaning(layers):
    """A group that is the whole row is no group."""
    forms = {linear.name: (linear.num_in, linear.form) for linear in layers}
    return {
        name: (form.num_bits, form.group_size or num_in, form.is_symmetric)
        for name, (num_in, form) in forms.items()
    }


@pytest.mark.parametrize("scheme", [*registry.MODULES])
def test_it_is_what_the_plan_said(tiny, tmp_path, scheme):
    options = QuantOptions(scheme=scheme)
    made = quantised(tiny, tmp_path / "made", options)
    plan, _ = planning.plan(source.tensors_of(tiny), result.config_of(tiny), options)
    layers, quantizer = layers_of(tiny, made.path)
    assert quantizer.scheme is scheme
    planned = {linear.name: quantizer.stored(linear) for linear in plan.layers}
    assert {linear.name: quantizer.stored(linear) for linear in layers} == planned
    assert {linear.name: linear.part for linear in layers} == {
        linear.name: linear.part for linear in plan.layers
    }


def test_other_options_are_told_from_shapes(tiny, tmp_path):
    options = QuantOptions(
        scheme=QuantScheme.INT4, group_size=64, is_symmetric=True, sensitive="down"
    )
    made = quantised(tiny, tmp_path / "made", options)
    plan, _ = planning.plan(source.tensors_of(tiny), result.config_of(tiny), options)
    layers, _ = layers_of(tiny, made.path)
    assert meaning(layers) == meaning(plan.layers)


def test_what_is_stored_otherwise_is_refused(tiny, tmp_path):
    made = quantised(tiny, tmp_path / "made", QuantOptions(scheme=QuantScheme.INT8)).path
    tensors = load_file(made / "model.safetensors")
    del tensors["model.layers.0.mlp.up_proj.weight_shape"]
    save_file(tensors, made / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UnsuitableModelError, match="up_proj is not stored as int8 is"):
        layers_of(tiny, made)
    with pytest.raises(UnsuitableModelError, match="nothing that is quantised"):
        layers_of(tiny, tiny)
