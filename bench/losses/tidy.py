"""When a stage is at rest."""

from __future__ import annotations

from swanherd.core.ike import COMING, ObservedCharon, SaState


def is_tidy(charon: ObservedCharon) -> bool:
    """Tell whether there is nothing twice, and no SA of what isn't loaded.

    Both sides may have made the same child at once: of two one ends two seconds later. In IKEv1
    what was replaced stays for as long, and would serve again if the next row asked for it.
    """
    loaded = {config.name for config in charon.configs}
    wanted = {name for config in charon.configs for name in config.children}
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
    known = set(names) <= loaded and {child for _, child in children} <= wanted
    return known and not any(len(each) > len(set(each)) for each in (names, children))
