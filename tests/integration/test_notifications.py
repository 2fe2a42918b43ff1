"""What reaches a person, over real HTTP and SMTP, from the real server; and what does not matter: a dead receiver."""

import json
import re
import time
from datetime import timedelta

import pytest
from aiosmtpd.controller import Controller
from prefect import flow
from prefect.blocks.notifications import CustomWebhookNotificationBlock, SlackWebhook
from prefect.blocks.system import Secret
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL
from prefect.states import Completed, Crashed, Failed, Running, State
from pydantic import SecretStr

from configs.notification import NotificationConfig
from flows.automations import install, notification_automations
from flows.events import DECISION_PROMOTE, DECISION_UNDECIDED, emit_model_event
from flows.servers import free_port
from tasks.errors import ConfigError
from tests.integration.prefect_client import client_of

TOKEN = "a-token-that-nobody-may-see"  # noqa: S105 (made up)
GENERIC = {"subject": "{{subject}}", "body": "{{body}}"}
SLACK = {"text": "*{{subject}}*\n{{body}}"}


@flow(name="notified")
def notified() -> None:
    pass


@pytest.fixture(scope="module")
def mailbox():
    """An SMTP server that keeps what is sent."""
    mails = []

    class Keep:
        async def handle_DATA(self, server, session, envelope):  # noqa: N802 (aiosmtpd's name)
            mails.append(envelope)
            return "250 OK"

    controller = Controller(Keep(), hostname="127.0.0.1", port=free_port())
    controller.start()
    yield controller.port, mails
    controller.stop()


@pytest.fixture(scope="module")
def deployment(prefect_server, receiver, mailbox):
    """A deployment whose failures and decisions are told to three receivers; three dead ones are saved too."""
    url, port = receiver[0], mailbox[0]
    with client_of({PREFECT_API_URL: prefect_server}):

        def webhook(name, target, payload, timeout=30.0, **options):
            CustomWebhookNotificationBlock(name=name, url=target, json_data=payload, timeout=timeout, **options).save(
                name, overwrite=True
            )
            return f"custom-webhook/{name}"

        SlackWebhook(
            url=SecretStr(f"mailto://127.0.0.1:{port}/?mode=insecure&format=text&from=reprise@example.com&to=ops@example.com")
        ).save("mail", overwrite=True)
        webhook("closed", f"http://127.0.0.1:{free_port()}", GENERIC)
        webhook("hanging", f"{url}/hanging", GENERIC, timeout=0.5)
        webhook("broken", f"{url}/broken", GENERIC)
        names = [
            webhook("generic", f"{url}/generic", GENERIC, headers={"authorization": "{{token}}"}, secrets={"token": TOKEN}),
            webhook("room", f"{url}/room", SLACK),
            "slack-webhook/mail",
        ]
        with get_client(sync_client=True) as client:
            deployment = client.create_deployment(flow_id=client.create_flow(notified), name="notified")
        for automation in notification_automations("slice-lstm", [deployment], NotificationConfig(notify=names)):
            install(automation)
        wait_for(lambda: probe(receiver[1]))
        yield deployment


def end_a_run(deployment, state: State):
    with get_client(sync_client=True) as client:
        run = client.create_flow_run_from_deployment(deployment)
        client.set_flow_run_state(run.id, Running(), force=True)
        client.set_flow_run_state(run.id, state, force=True)
        return run


def answer(look, seconds):
    deadline = time.monotonic() + seconds
    while not (found := look()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return found


def wait_for(look, seconds=180):
    return answer(look, seconds) or pytest.fail(f"nothing came in {seconds} s")


def probe(posts, model="slice-lstm"):
    """Emit an event, and again if it seems lost: the server attends to new automations a moment after it has taken them."""
    emit_model_event(DECISION_UNDECIDED, model, {"version": "0", "reason": "a probe", "link": ""})
    return answer(lambda: told(posts, "/generic", f"Model: {model} version 0"), 20)


def told(posts, place, about):
    return [post for post in posts if post.place == place and about in json.dumps(post.payload)]


def mails_about(mails, about):
    return [mail for mail in mails if about in mail.content.decode()]


def test_a_failure_is_told_once_with_what_a_person_needs_at_night(deployment, receiver, mailbox, prefect_server):
    _, posts = receiver
    _, mails = mailbox
    error = "Flow run encountered an exception: DataError: reviews.csv has no column 'text'"
    end_a_run(deployment, Completed())
    run = end_a_run(deployment, Failed(message=f"{error}\nTraceback: ..."))
    end_a_run(deployment, Crashed(message="again, within the quiet minutes"))

    (post,) = wait_for(lambda: told(posts, "/generic", run.name))
    assert post.payload["subject"] == "[reprise] slice-lstm: notified failed"
    model, what, why, where = post.payload["body"].split("\n")
    assert model == "Model: slice-lstm"
    assert re.fullmatch(rf"Run: {run.name} of the flow notified, failed at 20..-..-.. ..:..:.. UTC", what)
    assert why == f"Error: {error}"
    assert where == f"Look: {prefect_server.removesuffix('/api')}/runs/flow-run/{run.id}"
    assert post.token == TOKEN

    (room,) = wait_for(lambda: told(posts, "/room", run.name))
    assert room.payload == {"text": f"*{post.payload['subject']}*\n{post.payload['body']}"}
    (mail,) = wait_for(lambda: mails_about(mails, run.name))
    assert (mail.mail_from, mail.rcpt_tos) == ("reprise@example.com", ["ops@example.com"])
    assert "Content-Type: text/plain" in mail.content.decode()
    emit_model_event(DECISION_PROMOTE, "slice-lstm", {"version": "1", "reason": "sent after all of these", "link": ""})
    wait_for(lambda: told(posts, "/generic", "sent after all of these"))
    assert not told(posts, "/generic", "quiet minutes")
    assert TOKEN not in post.payload["body"] + mail.content.decode()


def test_decisions_are_told(deployment, receiver, mailbox):
    _, posts = receiver
    _, mails = mailbox
    emit_model_event(DECISION_PROMOTE, "another-lstm", {"version": "1", "reason": "not ours", "link": ""})
    for event, reason in ((DECISION_PROMOTE, "It's better: 0.2 < 1 & more."), (DECISION_UNDECIDED, "A person must decide.")):
        emit_model_event(event, "slice-lstm", {"version": "7", "reason": reason, "link": "http://mlflow/#/runs/1"})
        outcome = event.rsplit(".", 1)[1]
        (post,) = wait_for(lambda reason=reason: told(posts, "/generic", reason))
        assert post.payload["subject"] == f"[reprise] slice-lstm version 7: {outcome}"
        assert f"Decision: {reason}\nLook: http://mlflow/#/runs/1" in post.payload["body"]
        wait_for(lambda reason=reason: told(posts, "/room", reason))
        wait_for(lambda reason=reason: mails_about(mails, reason))
    assert not told(posts, "/generic", "not ours")


@pytest.mark.long
def test_receivers_that_are_gone_hang_or_answer_500_do_not_keep_a_message_from_the_others(deployment, receiver):
    _, posts = receiver
    names = [f"custom-webhook/{name}" for name in ("closed", "hanging", "broken", "generic")]
    (automation,) = notification_automations("dead-lstm", [], NotificationConfig(notify=names))
    install(automation)
    assert wait_for(lambda: probe(posts, "dead-lstm"))
    wait_for(lambda: len(told(posts, "/broken", "dead-lstm")) >= 4)
    wait_for(lambda: told(posts, "/hanging", "dead-lstm"))


def test_a_name_without_a_notification_block_behind_it_is_refused(deployment):
    Secret(value="x").save("no-receiver", overwrite=True)
    for name, reason in (("slack-webhook/nobody", "there is no block"), ("secret/no-receiver", "sends no notifications")):
        with pytest.raises(ConfigError, match=f"^notify: .*{reason}|^notify: the block {name} {reason}"):
            notification_automations("slice-lstm", [deployment], NotificationConfig(notify=[name]))


def test_occasions_choose_what_is_told(deployment):
    def names(**keys):
        found = notification_automations("m", [deployment], NotificationConfig(notify=["custom-webhook/generic"], **keys))
        return [(automation.name, automation.trigger.expect) for automation in found]

    assert len(names()) == 2
    (failures,) = notification_automations(
        "m",
        [deployment],
        NotificationConfig(notify=["custom-webhook/generic"], occasions=["failure"], quiet_minutes=2.0),
    )
    assert failures.trigger.within == timedelta(minutes=2)
    assert names(occasions=["undecided"]) == [("Reprise: decisions on m", {DECISION_UNDECIDED})]
    assert [name for name, _ in names(occasions=["failure"])] == ["Reprise: failures of m"]
    assert notification_automations("m", [deployment], NotificationConfig()) == []
