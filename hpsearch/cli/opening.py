"""The database, a stored study, a study file: how commands come to what they work on."""

from __future__ import annotations

from hpsearch.results.opening import database_for_reading as database_for_reading
from hpsearch.results.opening import head_of as head_of
from hpsearch.results.opening import name_in_file as name_in_file
from hpsearch.results.opening import record_of as record_of
from hpsearch.results.opening import stored_name as stored_name
from hpsearch.results.opening import study_file as study_file
from hpsearch.results.opening import study_of as study_of
