"""What the gateway knows of the world around it, from the running agent.

Touches: files (whether models are here), the clock.
"""

import time
from collections.abc import Callable

from mesh.agent.engines.loading import Loading
from mesh.agent.engines.offering import Offering
from mesh.agent.gateway.names import KnownModel
from mesh.agent.membership import Membership
from mesh.agent.myself import Myself
from mesh.ids import DeviceId
from mesh.protocol.link import OwnDevice
from mesh.protocol.values import ModelOffer
from mesh.sdk.naming import UnknownDevice
from mesh.workloads.catalogue import BUILTIN, Catalogue
from mesh.workloads.files import ModelFiles

FRESH_S = 1.0
"""The list of models is made anew at most so often: every request asks for it."""


class Surroundings:
    """The models of the catalogue and of one's own devices, and the devices by name."""

    def __init__(self, membership: Membership, myself: Myself, offering: Offering, files: ModelFiles) -> None:
        self._membership = membership
        self._myself = myself
        self._offering = offering
        self._files = files
        self.catalogue: Callable[[], Catalogue] = lambda: BUILTIN
        """The models that this device may run, its owner's own included; set by the wiring."""
        self._listed: list[KnownModel] = []
        self._fresh_until_s = 0.0

    def device_named(self, text: str) -> DeviceId:
        """The device with this name or id. Raises UnknownDevice."""
        found = self._membership.find(text)
        if found is None:
            raise UnknownDevice
        return found.certificate.device

    def loading(self, model: str) -> Loading | None:
        """How far a model is from being ready on this device; None if it is not on its way."""
        return self._offering.loading(model)

    def models(self) -> list[KnownModel]:
        """The catalogue's models, then what else one's own devices offer; up to a second old."""
        now_s = time.monotonic()
        if now_s >= self._fresh_until_s:
            self._listed, self._fresh_until_s = self._list(), now_s + FRESH_S
        return self._listed

    def _list(self) -> list[KnownModel]:
        offered: dict[tuple[str, str], list[tuple[str, ModelOffer, bool]]] = {}
        for own in self._own():
            name = self._name(own.device)
            for offer in own.capability.offers:
                warm = offer.warm or offer.model in own.condition.warm
                offered.setdefault((offer.workload, offer.model), []).append((name, offer, warm))
        known = []
        for entry in self.catalogue():
            here = offered.pop((entry.workload, entry.id), [])
            dim = entry.settings.get("dim")
            known.append(
                KnownModel(
                    id=entry.id,
                    workload=entry.workload,
                    licence=entry.licence,
                    about=entry.about,
                    size_bytes=entry.size_bytes,
                    digest=entry.digest,
                    devices=tuple(name for name, _, _ in here),
                    warm=any(warm for _, _, warm in here),
                    present=self._files.present(entry),
                    dim=dim if isinstance(dim, int) else None,
                )
            )
        for (workload, model), there in offered.items():
            names = tuple(name for name, _, _ in there)
            warm_there = any(warm for _, _, warm in there)
            known.append(KnownModel(model, workload, digest=there[0][1].digest, devices=names, warm=warm_there))
        return known

    def _own(self) -> list[OwnDevice]:
        mine = self._myself.own_facts()
        return [mine, *(own for own in self._membership.own.values() if own.device != mine.device)]

    def _name(self, device: DeviceId) -> str:
        peer = self._membership.device(device)
        return device if peer is None else peer.certificate.name
