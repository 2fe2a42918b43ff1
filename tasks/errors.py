"""Every exception that Reprise raises on purpose.

RepriseError          anything that stopped the work; the command exits 1
  InputError          the user's data, configuration or arguments are at fault; the command exits 2
    ConfigError       a key, type or value of the configuration
    DataError         a source that cannot be read as labelled reviews
    ValidationFailed  reviews that were read and found unfit to train on
  DownloadError       a source on the network that could not be had whole
  StorageError        a bucket, or the like, that could not be reached, read or written
  TrainingDiverged    a loss that is no longer finite
  TrialPruned         a trial of a sweep that is not worth its further epochs
  TrialFailed         a trial of a sweep whose own process could not train it
  ModelMismatch       a model that does not give the scores, or hold the files, that it should
  JournalError        what a run records could not be kept in its folder, or not be read back
  OrchestrationError  the Prefect API, while a flow runs, could not be reached any more
  RegistryError       the MLflow server or its registry could not be reached or refused
    UnsettledAlias    a version is champion by the ledger, and its alias could not be set
  GateClosed          the champion, its files or its record are not what they were: nothing is promoted until that is mended
  StaleBase           another promotion came first: the champion is no longer the one that was compared with
"""


class RepriseError(Exception):
    """Something stopped the work; the message is one line that names the thing and what to do."""


class InputError(RepriseError):
    """What the user gave is at fault."""


class ConfigError(InputError):
    """A key, a type or a value of the configuration is wrong."""


class DataError(InputError):
    """A source cannot be read as labelled reviews."""


class ValidationFailed(InputError):
    """The reviews were read and are unfit to train on."""


class DownloadError(RepriseError):
    """A source on the network could not be had whole."""


class StorageError(RepriseError):
    """A bucket, or another place on the network that files are shared through, could not be reached, read or written."""


class TrainingDiverged(RepriseError):
    """The loss is no longer finite."""


class TrialPruned(RepriseError):
    """A trial of a sweep is not worth its further epochs."""


class TrialFailed(RepriseError):
    """A trial of a sweep could not be trained by its own process."""


class ModelMismatch(RepriseError):
    """A model does not give the scores, or hold the files, that it should."""


class JournalError(RepriseError):
    """What a run records could not be written to its journal, or the journal not be read back."""


class OrchestrationError(RepriseError):
    """The Prefect API could not be reached any more while a flow was running."""


class RegistryError(RepriseError):
    """The MLflow server could not be reached or refused."""


class UnsettledAlias(RegistryError):
    """A version is champion by the ledger, and its alias could not be set: what reads the registry next will set it."""


class GateClosed(RepriseError):
    """The champion, its files or its record are not what they were: nothing is promoted until that is mended."""


class StaleBase(RepriseError):
    """Another promotion came first: the champion is no longer the one that was compared with."""
