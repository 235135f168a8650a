"""What leaves is the product, and nothing of how it was factored."""

from __future__ import annotations

import io
import tarfile

import pyrage
import pytest
import torch
from safetensors.torch import load

from strongroom.errors import StrongroomError
from strongroom.keeper.engine.adapter import Adapter, peft_names
from strongroom.tune.export.factors import canonical_factors, product_svd
from strongroom.tune.export.leaving import package

BY = torch.Generator().manual_seed(0)


def pair(rank: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(rank, 20, generator=BY), torch.randn(12, rank, generator=BY)


def test_the_product_stays_and_the_factors_do_not() -> None:
    a, b = pair()
    new_a, new_b = canonical_factors((a, b))
    assert new_a.dtype == new_b.dtype == torch.bfloat16
    assert (new_a.shape, new_b.shape) == (a.shape, b.shape)
    product = new_b.float() @ new_a.float()
    assert float((product - b @ a).norm() / (b @ a).norm()) < 0.01
    gram = new_a.float() @ new_a.float().t()
    assert float((gram - torch.diag(gram.diag())).abs().max()) < 0.05 * float(gram.max())


def test_every_factoring_of_a_product_leaves_alike() -> None:
    a, b = pair()
    turned = torch.linalg.qr(torch.randn(4, 4, generator=BY).double())[0] @ torch.diag(
        torch.tensor([1.0, 2.0, 0.5, -3.0]).double()
    )
    one = canonical_factors((a.double(), b.double()))
    other = canonical_factors((turned @ a.double(), b.double() @ torch.linalg.inv(turned)))
    for left, right in zip(one, other, strict=True):
        assert torch.allclose(left.float(), right.float(), rtol=2e-2, atol=1e-3)


def test_a_lower_rank_than_its_shape_is_kept() -> None:
    a, b = pair()
    b[:, 2:] = 0
    values = product_svd((a, b))[1]
    assert float(values[2:].max()) < 1e-9
    assert all(bool(torch.isfinite(each).all()) for each in canonical_factors((a, b)))


def test_the_file_opens_for_its_recipients_only() -> None:
    adapter = Adapter(4, ("q_proj",), 2.0, {"layers.0.q_proj": pair()})
    identity, other = (pyrage.x25519.Identity.generate() for _ in range(2))
    sealed = package(adapter, "base-id", [str(identity.to_public())])
    a, b = adapter.pairs["layers.0.q_proj"]
    assert a.numpy().tobytes()[:32] not in sealed
    with pytest.raises(pyrage.DecryptError):
        pyrage.decrypt(sealed, [other])
    with tarfile.open(fileobj=io.BytesIO(pyrage.decrypt(sealed, [identity]))) as tar:
        assert tar.getnames() == ["adapter_config.json", "adapter_model.safetensors"]
        member = tar.extractfile("adapter_model.safetensors")
        assert member is not None
        tensors = load(member.read())
    names = peft_names("layers.0.q_proj")
    assert set(tensors) == set(names)
    assert torch.equal(tensors[names[0]], canonical_factors((a, b))[0])


@pytest.mark.parametrize("recipients", [[], ["age1nonsense"], ["AGE-SECRET-KEY-1"]])
def test_nothing_is_encrypted_to_nobody(recipients: list[str]) -> None:
    adapter = Adapter(4, ("q_proj",), 2.0, {"layers.0.q_proj": pair()})
    with pytest.raises(StrongroomError) as caught:
        package(adapter, "base-id", recipients)
    assert caught.value.code == "tune.export_recipient"
