from contextlib import contextmanager


@contextmanager
def client_of(settings):
    """In the block, this process is the client of another Prefect server: no event of before goes there, and none stays behind.

    Prefect sends events in the background, and waits for ever for a server that has ended.
    """
    from prefect.events.worker import EventsWorker
    from prefect.settings import temporary_settings

    EventsWorker.drain_all()
    with temporary_settings(settings):
        try:
            yield
        finally:
            EventsWorker.drain_all()
