"""Traces and students to the world, traces from it: conversation formats in JSONL and Parquet files, cards, and the hub.

Import is `read_conversations`, which the replay engine answers from. Export is `write_conversations`, `data_card` and
`deliver`, which `mixdistill export` puts together; `mixdistill export-student` takes `student_card` in place of the first two.
"""

from mixdistill.interchange.card import DataCard, DataFile, Lineage, Teacher, data_card
from mixdistill.interchange.conversations import read_conversations, write_conversations
from mixdistill.interchange.deliver import CARD_FILE, deliver, refuse_occupied
from mixdistill.interchange.files import file_errors, files_identity, json_objects, read_rows
from mixdistill.interchange.formats import FORMATS, Conversation
from mixdistill.interchange.licences import licence_file, licence_metadata, model_licence
from mixdistill.interchange.model_card import Score, Source, StudentCard, student_card
from mixdistill.interchange.public import public_place, public_section
from mixdistill.interchange.reasoning import split_reasoning, with_reasoning

__all__ = [
    "CARD_FILE",
    "FORMATS",
    "Conversation",
    "DataCard",
    "DataFile",
    "Lineage",
    "Score",
    "Source",
    "StudentCard",
    "Teacher",
    "data_card",
    "deliver",
    "file_errors",
    "files_identity",
    "json_objects",
    "licence_file",
    "licence_metadata",
    "model_licence",
    "public_place",
    "public_section",
    "read_conversations",
    "read_rows",
    "refuse_occupied",
    "split_reasoning",
    "student_card",
    "with_reasoning",
    "write_conversations",
]
