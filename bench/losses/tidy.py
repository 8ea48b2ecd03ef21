"""When a stage is at rest."""

from __future__ import annotations

from swanherd.core.ike import COMING, ObservedCharon, SaState


def is_tidy(charon: ObservedCharon) -> bool:
    """Tell whether there is nothing twice, and no IKE SA of what isn't loaded.

    Both sides may have made the same child at once: of two one ends two seconds later.
    """
    loaded = {config.name for config in charon.configs}
    # One that is still being negotiated would take the other's place when it comes up.
    held = (SaState.ESTABLISHED, *COMING)
    sas = [sa for sa in charon.ike_sas if sa.state in held]
    names = [sa.config for sa in sas]
    children = [
        (sa.config, child.name)
        for sa in sas
        for child in sa.children
        if child.state is SaState.INSTALLED
    ]
    return set(names) <= loaded and not any(
        len(each) > len(set(each)) for each in (names, children)
    )
