"""The table in config.json: which layers have which form."""

from __future__ import annotations

from models.refs import QuantScheme
from quantize.formats import compressed
from quantize.formats.forms import Form, Linear, Part
from quantize.plan.planning import plan
from quantize.plan.scheme_plan import QuantOptions
from quantize.plan.tables import Width
from tests.quantize.source_tensors import layer, model

INT4, INT8, W8A8 = QuantScheme.INT4, QuantScheme.INT8, QuantScheme.INT8_W8A8
LLAMA = {"model_type": "llama"}


def linear(name: str, form: Form, part: Part = Part.LAYERS) -> Linear:
    return Linear(name=name, num_out=8, num_in=64, dtype="BF16", part=part, form=form)


def groups(form: Form, layers: list[Linear], **more) -> dict[str, dict]:
    table = compressed.document(
        layout="pack-quantized", kind="int", form=form, layers=layers, ignore=["x"], **more
    )
    assert (table["quant_method"], table["ignore"]) == ("compressed-tensors", ["x"])
    return table["config_groups"]


def test_layers_of_another_form_are_named():
    def targets(sensitive: str) -> list[list[str]]:
        options = QuantOptions(
            scheme=INT4, sensitive=sensitive, head=Width.FULL, embeddings=Width.FULL
        )
        made, _ = plan([*model(), *layer(1), *layer(11)], LLAMA, options)
        groups = made.config["quantization_config"]["config_groups"].values()
        return [group["targets"] for group in groups]

    q, k, v = (rf"re:.*\.self_attn\.{name}_proj$" for name in "qkv")
    assert targets("k_proj") == [["Linear"], [q, k, v]]
    assert targets(r"layers\.1.*down") == [
        ["Linear"],
        [r"re:.*\.layers\.(?:1|11)\.mlp\.down_proj$"],
    ]
    assert targets("nothing") == [["Linear"]]


FOUR = Form(num_bits=4, group_size=32, is_symmetric=False)
EIGHT = Form(num_bits=8, group_size=32)


def test_most_layers_are_meant_by_their_class():
    made = groups(FOUR, [linear("model.layers.0.mlp.up_proj", FOUR)])
    assert made.keys() == {"group_0"}
    assert made["group_0"]["targets"] == ["Linear"]
    weights = made["group_0"]["weights"]
    assert (weights["num_bits"], weights["group_size"], weights["symmetric"]) == (4, 32, False)
    assert (weights["strategy"], weights["dynamic"]) == ("group", False)
    assert made["group_0"]["input_activations"] is None


def test_a_row_without_groups_is_a_channel_and_activations_are_by_token():
    (group,) = groups(Form(), [linear("a", Form())], has_activations=True).values()
    assert (group["weights"]["strategy"], group["weights"]["group_size"]) == ("channel", None)
    activations = group["input_activations"]
    assert (activations["strategy"], activations["dynamic"]) == ("token", True)
    assert activations["observer"] is None


def test_a_name_is_quoted_and_layer_numbers_are_whole():
    layers = [linear(f"m.layers.{number}.a.b_proj", FOUR) for number in (0, 1, 11)]
    layers[1] = linear("m.layers.1.a.b_proj", EIGHT)
    first, second = groups(FOUR, layers).values()
    assert first["targets"] == ["Linear"]
    assert second["targets"] == [r"re:.*\.layers\.(?:1)\.a\.b_proj$"]
    assert second["weights"]["num_bits"] == 8


def test_a_head_is_named_and_an_embedding_is_a_group_of_its_own():
    layers = [
        linear("m.layers.0.up_proj", EIGHT),
        linear("lm_head", Form(group_size=128), Part.HEAD),
        linear("model.embed_tokens", EIGHT, Part.EMBEDDING),
    ]
    targets = [group["targets"] for group in groups(EIGHT, layers).values()]
    assert targets == [["Linear"], ["lm_head"], ["re:.*embed_tokens$", "VocabParallelEmbedding"]]
