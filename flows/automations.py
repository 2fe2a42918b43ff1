"""The automations that the Prefect server carries out for Reprise, and their installation."""

from prefect.automations import Automation
from prefect.client.orchestration import get_client


def install(automation: Automation) -> None:
    """Make an automation of this name on the Prefect server, or make the one that is there what this one is."""
    with get_client(sync_client=True) as client:
        present = client.read_automations_by_name(automation.name)
    if present:
        automation.id = present[0].id
        automation.update()
    else:
        automation.create()
