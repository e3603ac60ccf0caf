"""What tells two settings of the same weights apart: scales of adapters, FreeU, tiling."""

from tests.helpers.pipelines import new
from tests.helpers.production import make_pipeline
from tests.helpers.relatives import with_ip_adapter
from tuner.adapters import adapters_digest
from tuner.loading import fingerprint, weighed


def test_a_lora_counts_with_its_scale_whether_active_and_whether_fused() -> None:
    pipeline = make_pipeline()
    assert fingerprint(pipeline) == fingerprint(make_pipeline())
    seen = {fingerprint(pipeline)}
    pipeline.set_adapters(["poster"], [0.75])
    seen.add(fingerprint(pipeline))
    pipeline.disable_lora()
    seen.add(fingerprint(pipeline))
    pipeline.enable_lora()
    pipeline.fuse_lora()
    seen.add(fingerprint(pipeline))
    assert len(seen) == 4
    pipeline.unfuse_lora()


def test_a_pipeline_without_adapters_has_the_fingerprint_of_its_weights_alone() -> None:
    pipeline = new("sd")
    plain = fingerprint(pipeline)
    assert adapters_digest(weighed(pipeline)) == ""
    pipeline.enable_freeu(s1=0.9, s2=0.2, b1=1.2, b2=1.4)
    assert fingerprint(pipeline) != plain
    pipeline.disable_freeu()
    pipeline.vae.enable_tiling()
    assert fingerprint(pipeline) != plain
    pipeline.vae.disable_tiling()
    assert fingerprint(pipeline) == plain


def test_the_scale_of_an_ip_adapter_counts_unless_it_is_left_out() -> None:
    pipeline = with_ip_adapter("sd")
    full, without = fingerprint(pipeline), fingerprint(pipeline, ip_adapter=False)
    pipeline.set_ip_adapter_scale(0.3)
    try:
        assert fingerprint(pipeline) != full
        assert fingerprint(pipeline, ip_adapter=False) == without
    finally:
        pipeline.set_ip_adapter_scale(1.0)
