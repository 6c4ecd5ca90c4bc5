"""How models are asked: the prompt, the reasoning style, few-shot turns, and the chat messages made of them."""

from mixdistill.prompts.messages import Message, prompt_token_ids, student_messages, teacher_messages
from mixdistill.prompts.styles import STYLES, Style
from mixdistill.prompts.templates import PROMPTS, prompt_template

__all__ = [
    "PROMPTS",
    "STYLES",
    "Message",
    "Style",
    "prompt_template",
    "prompt_token_ids",
    "student_messages",
    "teacher_messages",
]
