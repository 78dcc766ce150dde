"""A CUDA device without a GPU: tensors that say they lie on ``cuda:0``, and lie in the memory.

PyTorch decides by a tensor's device what may meet, which generator draws, and what autocast does.
All of it happens before the arithmetic, so only the arithmetic is the CPU's here. For PyTorch's C++
the tensors lie on a private device (``torch.utils.backend_registration``, from PyTorch 2.14 on);
Python sees ``cuda:0``. Each operation is looked at on its way (``torch.utils._python_dispatch``):

- tensors of two devices in one operation raise PyTorch's ``RuntimeError``. A number on the CPU (a
  tensor without dimensions) may meet others in elementwise operations, as on CUDA;
- a generator of another device raises;
- random numbers without a generator come from a state of the device's own;
- what waits for the device (a number or a tensor fetched to the CPU) is counted in ``waits``.

What hpsearch calls of ``torch.cuda`` is replaced. It behaves as the real one does before CUDA is
initialised, too: statistics of memory can't be reset then ("Invalid device argument").
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import cache
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
import torch
import torch._dynamo  # an optimizer imports it, and it must see torch.cuda as it is
from torch import Tensor
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_flatten, tree_map_only

CPU = torch.device("cpu")
GPU = torch.device("cuda", 0)

#: What PyTorch's C++ calls the device.
_NAME = "pretended"

_aten = torch.ops.aten

#: Copy between devices: the only operations that may.
_COPIES = (_aten._to_copy.default, _aten.copy_.default, _aten._foreach_copy_.default)

#: Hand a number, or a tensor whose size depends on values, to the CPU.
_WAITS = (
    _aten._local_scalar_dense.default,
    _aten.nonzero.default,
    _aten.masked_select.default,
    _aten.equal.default,
    _aten.bincount.default,
    _aten._unique2.default,
)


#: PyTorch 2.10, the oldest that we take, has no such kernel for CUDA.
_MISSING = (_aten._fused_adagrad_.default,)


#: An operation, its arguments, and the tensors that it made.
Recorded = tuple[Any, Any, list[Tensor]]


class OnGpu(Tensor):
    """A tensor of the pretended device; its numbers are those of ``numbers``, on the CPU."""

    numbers: Tensor

    @staticmethod
    def __new__(cls, numbers: Tensor) -> OnGpu:
        made = Tensor._make_wrapper_subclass(
            cls,
            numbers.size(),
            strides=numbers.stride(),
            storage_offset=numbers.storage_offset(),
            dtype=numbers.dtype,
            layout=numbers.layout,
            device=torch.device(_NAME, 0),
        )
        made.numbers = numbers
        return made

    @property
    def device(self) -> torch.device:
        return GPU

    def numpy(self, **_: object) -> NoReturn:
        raise TypeError(
            "can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy the "
            "tensor to host memory first."
        )

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        return ["numbers"], None

    @staticmethod
    def __tensor_unflatten__(inner: Mapping[str, Tensor], *_: object) -> OnGpu:
        return OnGpu(inner["numbers"])

    def __repr__(self, **_: object) -> str:
        return f"OnGpu({self.numbers!r})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise RuntimeError("the pretended GPU is gone, but one of its tensors is still used")


class PretendedGpu(TorchDispatchMode):
    """Looks at every operation; ``with`` it, tensors may be on ``cuda:0``."""

    def __init__(self) -> None:
        super().__init__()
        #: How often each operation waited for the device.
        self.waits: Counter[str] = Counter()
        #: Operations on the device.
        self.operations = 0
        self.cuda = Cuda(self)
        #: What a CUDA graph that is being captured has recorded so far.
        self.recording: list[Recorded] | None = None
        self._generators: dict[int, torch.device] = {}
        self.random = torch.Generator().manual_seed(0).get_state()

    def knows(self, generator: torch.Generator, device: torch.device) -> None:
        """Hear of a generator of ``device``."""
        self._generators[generator._cdata] = device

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        flat, _ = tree_flatten((args, kwargs))
        tensors = [each for each in flat if isinstance(each, Tensor)]
        on_gpu = any(isinstance(each, OnGpu) for each in tensors)
        wanted = kwargs.get("device")
        where = GPU if wanted is None or _is_gpu(wanted) else torch.device(wanted)
        if not on_gpu and (wanted is None or where != GPU):
            self._require_generator(func, flat, CPU)
            return func(*args, **kwargs)
        if func is _aten.copy_.default and not isinstance(args[0], OnGpu):
            where = CPU
        if func not in _COPIES:
            _require_one_device(func, tensors)
        self._require_generator(func, flat, where)
        if func in _MISSING:
            raise NotImplementedError(f"Could not run '{func}' with arguments from 'CUDA'")
        self._count(func, where, on_gpu)
        if wanted is not None:
            kwargs["device"] = CPU
        inner = tree_map_only(OnGpu, lambda each: each.numbers, (args, kwargs))
        with self._own_numbers(func, flat):
            found = func(*inner[0], **inner[1])
        if self.recording is not None:
            self._record(func, inner, found)
        if where != GPU:
            return args[0] if func is _aten.copy_.default else found
        # A view of an ordinary tensor is ordinary, in inference mode too
        of_ordinary = func.is_view and not any(each.is_inference() for each in tensors)
        with torch.inference_mode(torch.is_inference_mode_enabled() and not of_ordinary):
            made = tree_map_only(Tensor, OnGpu, found)
        return return_and_correct_aliasing(func, args, kwargs, made)

    def _count(self, func: Any, where: torch.device, on_gpu: bool) -> None:
        self.operations += 1
        if func in _WAITS or (func in _COPIES and on_gpu and where.type == "cpu"):
            self.waits[str(func)] += 1

    def _record(self, func: Any, inner: Any, found: Any) -> None:
        if self.recording is not None and not func.is_view:
            made = [each for each in tree_flatten(found)[0] if isinstance(each, Tensor)]
            self.recording.append((func, inner, made))

    def _require_generator(self, func: Any, flat: list[Any], device: torch.device) -> None:
        for each in flat:
            if isinstance(each, torch.Generator):
                its = self._generators.get(each._cdata, CPU)
                if its.type != device.type:
                    raise RuntimeError(
                        f"Expected a '{device.type}' device type for generator but found "
                        f"'{its.type}' ({func})"
                    )

    @contextmanager
    def _own_numbers(self, func: Any, flat: list[Any]) -> Iterator[None]:
        drawn = torch.Tag.nondeterministic_seeded in func.tags
        if not drawn or any(isinstance(each, torch.Generator) for each in flat):
            yield
            return
        before = torch.get_rng_state()
        torch.set_rng_state(self.random)
        try:
            yield
        finally:
            self.random = torch.get_rng_state()
            torch.set_rng_state(before)


def _is_gpu(device: Any) -> bool:
    return torch.device(device).type in ("cuda", _NAME)


def _require_one_device(func: Any, tensors: list[Tensor]) -> None:
    elementwise = torch.Tag.pointwise in func.tags
    for each in tensors:
        number = each.dim() == 0 and elementwise
        if not isinstance(each, OnGpu) and not number:
            raise RuntimeError(
                "Expected all tensors to be on the same device, but found at least two devices, "
                f"cuda:0 and {each.device}! ({func})"
            )


class Graph:
    """A CUDA graph: the operations of one step, done again on the same memory by ``replay``."""

    def __init__(self, gpu: PretendedGpu) -> None:
        self._gpu = gpu
        self._recorded: list[Recorded] = []

    @contextmanager
    def captured(self) -> Iterator[None]:
        """Record what is done inside the block. (CUDA wouldn't do it meanwhile.)"""
        self._gpu.recording = self._recorded
        try:
            yield
        finally:
            self._gpu.recording = None

    def replay(self) -> None:
        """Do all of it again, with what stands in its tensors now."""
        for func, (args, kwargs), made in self._recorded:
            flat, _ = tree_flatten(func(*args, **kwargs))
            again = [each for each in flat if isinstance(each, Tensor)]
            for before, now in zip(made, again, strict=True):
                if now is not before:
                    before.copy_(now)


class Cuda:
    """What hpsearch calls of ``torch.cuda``, for one GPU that nobody else uses."""

    def __init__(self, gpu: PretendedGpu) -> None:
        self._gpu = gpu
        self.initialised = False
        #: Whether CUDA refuses everything, as after an assertion in a kernel.
        self.broken = False
        #: Free bytes, and all.
        self.memory = (80 * 10**9, 80 * 10**9)
        #: How often the cache was given back, and how often somebody waited for all work.
        self.emptied, self.synchronized = 0, 0

    def replace(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Put it in the place of the real functions."""
        functions = {
            "is_available": lambda: True,
            "device_count": lambda: 1,
            "current_device": lambda: 0,
            "init": self._init,
            "_lazy_init": lambda: self._init(),  # PyTorch's C++ calls it where "cuda" is named
            "is_initialized": lambda: self.initialised,
            "set_device": lambda _: self._init(),
            "synchronize": self._synchronize,
            "Stream": lambda _=None: SimpleNamespace(wait_stream=lambda _: None),
            "current_stream": lambda _=None: SimpleNamespace(wait_stream=lambda _: None),
            "stream": lambda _: nullcontext(),
            "CUDAGraph": lambda: Graph(self._gpu),
            "graph": lambda graph: graph.captured(),
            "device": lambda _: nullcontext(),
            "get_device_name": lambda _=None: "NVIDIA Pretended",
            "get_device_capability": lambda _=None: (9, 0),
            "get_device_properties": lambda _=None: SimpleNamespace(
                uuid="1234", name="NVIDIA Pretended", total_memory=self.memory[1]
            ),
            "is_bf16_supported": lambda *_, **__: True,
            "is_current_stream_capturing": lambda: False,
            "mem_get_info": self._memory,
            "memory_reserved": lambda _=None: 0,
            "memory_allocated": lambda _=None: 0,
            "max_memory_allocated": lambda _=None: 10**9,
            "reset_peak_memory_stats": self._reset,
            "empty_cache": self._empty,
            "manual_seed": self._seed,
            "get_rng_state": self._state,
            "set_rng_state": self._set_state,
        }
        whole = torch.autocast

        def autocast(kind: str, *args: Any, **kwargs: Any) -> torch.autocast:
            return whole(_NAME if kind == "cuda" else kind, *args, **kwargs)

        monkeypatch.setattr(torch, "autocast", autocast)
        for name, function in functions.items():
            monkeypatch.setattr(torch.cuda, name, function)
        monkeypatch.setattr(torch, "Generator", self._generator_class())
        # Batch norm asks for cuDNN's own operations otherwise, which the CPU hasn't
        monkeypatch.setattr(torch.backends.cudnn, "enabled", False)

    def _init(self, *_: object) -> None:
        if self.broken:
            raise RuntimeError("CUDA error: device-side assert triggered")
        self.initialised = True

    def _memory(self, _: object = None) -> tuple[int, int]:
        self._init()
        return self.memory

    def _reset(self, _: object = None) -> None:
        if not self.initialised:
            raise RuntimeError("Invalid device argument 0: did you call init?")

    def _synchronize(self, _: object = None) -> None:
        self._init()
        self.synchronized += 1

    def _empty(self) -> None:
        self.emptied += 1

    def _seed(self, seed: int) -> None:
        self._gpu.random = _CpuGenerator().manual_seed(seed).get_state()

    def _state(self, _: object = None) -> Tensor:
        self._init()
        return self._gpu.random.clone()

    def _set_state(self, state: Tensor, _: object = None) -> None:
        self._gpu.random = state.clone()

    def _generator_class(self) -> type:
        gpu = self._gpu

        class Generator(_CpuGenerator):
            """Of either device."""

            def __new__(cls, device: Any = "cpu") -> Generator:
                made = super().__new__(cls, "cpu")
                gpu.knows(made, torch.device(device))
                return made

            @property
            def device(self) -> torch.device:
                kind = gpu._generators[self._cdata]
                return GPU if kind.type == "cuda" else CPU

        return Generator


_CpuGenerator = torch.Generator


class _Backend:
    """What PyTorch asks of the module of a private device."""

    is_initialized = is_available = staticmethod(lambda: False)
    _is_in_bad_fork = staticmethod(lambda: False)
    current_device = staticmethod(lambda: 0)
    device_count = staticmethod(lambda: 1)
    manual_seed_all = staticmethod(lambda seed: None)
    get_amp_supported_dtype = staticmethod(lambda: [torch.bfloat16, torch.float16])


@cache
def _register() -> list[torch.library.Library]:
    """Register the private device, once in a process; skip where PyTorch can't from Python."""
    setup = getattr(backend_registration, "_setup_privateuseone_for_python_backend", None)
    if setup is None:
        pytest.skip(f"a private device can't be made from Python in PyTorch {torch.__version__}")
    setup(rename=_NAME, backend_module=_Backend())
    key = "AutocastPrivateUse1"
    everything, aten = (torch.library.Library(name, "IMPL") for name in ("_", "aten"))
    everything.fallback(torch.library.fallthrough_kernel, key)
    for name in ("linear", "conv1d", "conv2d", "matmul", "addmm", "mm"):
        aten.impl(name, _in_low_precision(getattr(_aten, name)), key)
    return [everything, aten]


def _in_low_precision(operation: Any) -> Callable[..., Tensor]:
    """Return the operation as autocast does it: on copies in the smaller type."""

    def run(*args: Any, **kwargs: Any) -> Tensor:
        kind = torch.get_autocast_dtype(_NAME)
        with torch._C._ExcludeDispatchKeyGuard(
            torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastPrivateUse1)
        ):
            low = tree_map_only(Tensor, lambda each: each.to(kind), (args, kwargs))
            return operation(*low[0], **low[1])

    return run


@contextmanager
def pretended_gpu() -> Iterator[PretendedGpu]:
    """Let this thread have a ``cuda:0``; skip the test where PyTorch can't pretend one."""
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU: `make gpu` runs hpsearch on it")
    _register()
    with pytest.MonkeyPatch.context() as monkeypatch, torch.random.fork_rng(devices=[]):
        gpu = PretendedGpu()
        gpu.cuda.replace(monkeypatch)
        # Backward in this thread: threads for devices were started before there was this one
        with torch.autograd.set_multithreading_enabled(False), gpu:
            yield gpu
