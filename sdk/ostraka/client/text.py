"""Text to tokens and back, with the tokenizer and chat template that the manifest names."""

from __future__ import annotations

import hashlib

from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer as FastTokenizer

from ostraka.client.conversation import Prompt, check_messages
from ostraka.errors import BadManifest, HashMismatch, UsageError
from ostraka.model import Manifest
from ostraka.store import ContentStore


class ModelText:
    """Encodes prompts and decodes answers for one model."""

    def __init__(self, manifest: Manifest, tokenizer_json: bytes) -> None:
        """Raises `HashMismatch` unless the file is the one the manifest names."""
        found = hashlib.sha256(tokenizer_json).hexdigest()
        if found != manifest.tokenizer.sha256:
            raise HashMismatch(f"tokenizer: sha256 is {found}, the manifest says {manifest.tokenizer.sha256}")
        self.manifest = manifest
        self._tokenizer = FastTokenizer.from_str(tokenizer_json.decode())

    @staticmethod
    def fetch(manifest: Manifest, store: ContentStore) -> ModelText:
        return ModelText(manifest, store.get(manifest.tokenizer.cid, max_bytes=manifest.tokenizer.bytes))

    @property
    def stop(self) -> list[int]:
        """Tokens that end an answer."""
        eos = self.manifest.tokenizer.eos
        return [] if eos is None else [eos]

    def chat(self, messages: list[dict[str, str]]) -> str:
        """Messages as the model was trained to see them. A template is a stranger's program: it runs in Jinja's sandbox."""
        template = self.manifest.tokenizer.chat_template
        if not template:
            raise UsageError(f"model {self.manifest.name}: has no chat template; send a plain prompt")
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        special = {
            name: self._tokenizer.id_to_token(token) if token is not None else ""
            for name, token in (("bos_token", self.manifest.tokenizer.bos), ("eos_token", self.manifest.tokenizer.eos))
        }
        try:
            return environment.from_string(template).render(messages=messages, add_generation_prompt=True, **special)
        except Exception as error:  # a stranger's program may raise anything
            raise BadManifest(f"tokenizer.chat_template: {error}") from error

    def encode(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def prompt(self, prompt: Prompt, *, chat: bool = True) -> list[int]:
        """Tokens of a prompt: of a conversation, or of a text, which is a user's message where the model is a chat model and `chat` is
        asked for. Raises `UsageError` for messages that cannot be, or that no template puts together."""
        if not isinstance(prompt, str):
            if not chat:
                raise UsageError("messages: without the chat template there are no roles; give one text instead")
            return self.encode(self.chat(check_messages(prompt)))
        if not prompt:
            raise UsageError("prompt: empty; write something")
        if chat and self.manifest.tokenizer.chat_template:
            return self.encode(self.chat([{"role": "user", "content": prompt}]))
        return self.encode(prompt)

    def decode(self, tokens: list[int]) -> str:
        return str(self._tokenizer.decode([t for t in tokens if t not in self.stop], skip_special_tokens=True))


class TextStream:
    """Turns tokens into pieces of text as they come; a character that is not complete yet is held back."""

    def __init__(self, text: ModelText) -> None:
        self._text = text
        self._tokens: list[int] = []
        self._shown = ""

    def push(self, token: int) -> str:
        self._tokens.append(token)
        whole = self._text.decode(self._tokens)
        if whole.endswith("\ufffd"):
            return ""
        piece, self._shown = whole[len(self._shown) :], whole
        return piece

    def flush(self) -> str:
        """Whatever is still held back."""
        whole = self._text.decode(self._tokens)
        piece, self._shown = whole[len(self._shown) :], whole
        return piece
