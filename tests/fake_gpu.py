"""A GPU to test with where there is none: tensors that say `cuda:0`, and compute on the CPU.

Inside `FakeGpu()` operations refuse to mix them with tensors of the CPU, as CUDA does, and everything for
which the host would have to wait for the device is written down with its place in the code.
"""

import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_iter, tree_map

aten = torch.ops.aten
DEVICE = torch.device("cuda:0")
ROOT = Path(__file__).resolve().parents[1]
# How often CUDA's implementation of an operation waits for the device.
WAITS = {
    aten._local_scalar_dense.default: 1,  # item(), bool(), float(), int(), and an index that is a tensor
    aten.nonzero.default: 1,
    aten.masked_select.default: 1,
    aten.equal.default: 1,
    aten._linalg_check_errors.default: 1,
    aten._unique2.default: 2,
    aten.unique_dim.default: 2,
    aten.unique_consecutive.default: 1,
    aten.bincount.default: 2,  # the lowest and the highest
}
COMPOSITE = torch._C.DispatchKey.CompositeImplicitAutograd
INDEXING = (aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default)
COPIES = (aten.copy_.default, aten._to_copy.default)


class GpuTensor(Tensor):
    """A tensor on `cuda:0`: `values` is what it holds, on the CPU."""

    values: Tensor
    gpu: "FakeGpu"
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, values: Tensor, gpu: "FakeGpu") -> Self:
        self: Self = Tensor._make_wrapper_subclass(
            cls,
            values.size(),
            strides=values.stride(),
            storage_offset=values.storage_offset(),
            dtype=values.dtype,
            device=torch.device("cpu"),  # for autograd, which would look for a real one
        )
        self.values, self.gpu = values, gpu
        return self

    def __init__(self, values: Tensor, gpu: "FakeGpu") -> None: ...

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return DEVICE

    @property
    def is_cuda(self) -> bool:  # type: ignore[override]
        return True

    @property
    def is_cpu(self) -> bool:  # type: ignore[override]
        return False

    def __repr__(self, **_: object) -> str:  # type: ignore[override]
        return f"GpuTensor({self.values!r})"

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        copied: Tensor = self.detach().clone()
        if isinstance(self, nn.Parameter):
            copied = nn.Parameter(copied, self.requires_grad)
        memo[id(self)] = copied
        return copied

    @classmethod
    def __torch_dispatch__(
        cls, function: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        tensors = [x for x in tree_iter((args, kwargs)) if isinstance(x, Tensor)]
        gpu = next(x.gpu for x in tensors if isinstance(x, GpuTensor))
        strays = [x for x in tensors if not isinstance(x, GpuTensor) and x.ndim > 0]
        if strays:
            raise RuntimeError(
                f"{function}: expected all tensors to be on the same device, got {DEVICE} and a tensor "
                f"{tuple(strays[0].shape)} on the CPU"
            )
        composite = torch.is_inference_mode_enabled()  # elsewhere autograd has taken those apart
        if composite and torch._C._dispatch_has_kernel_for_dispatch_key(function.name(), COMPOSITE):
            return function._op_dk(COMPOSITE, *args, **kwargs)
        gpu.note(function, args, kwargs)
        bare = tree_map(lambda x: x.values if isinstance(x, GpuTensor) else x, (args, kwargs))
        result = function(*bare[0], **bare[1])
        given = {id(x.values): x for x in tensors if isinstance(x, GpuTensor)}  # of in-place work

        def wrap(x: Any) -> Any:
            if not isinstance(x, Tensor):
                return x
            return given[id(x)] if id(x) in given else GpuTensor(x, gpu)

        return _mapped(wrap, result)


def _mapped(change: Callable[[Any], Any], value: Any) -> Any:
    leaves, spec = tree_flatten(value)
    return spec.unflatten([change(leaf) for leaf in leaves])


class FakeGpu(TorchFunctionMode):
    """Makes what is asked for on `cuda:0`, copies to and from it, and counts for what the host waits."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []  # operation and file:line

    def __enter__(self) -> Self:
        self._run, gpu = threading.Thread.run, super()

        def run(thread: threading.Thread) -> None:  # modes are those of a thread
            gpu.__enter__()
            try:
                self._run(thread)
            finally:
                gpu.__exit__(None, None, None)

        threading.Thread.run = run  # type: ignore[method-assign]
        gpu.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        threading.Thread.run = self._run  # type: ignore[method-assign]
        super().__exit__(*error)

    def put(self, value: Any) -> Any:
        """Return a structure with its tensors on the device; a module has its own replaced."""
        if isinstance(value, nn.Module):
            for module in value.modules():
                for name, parameter in module._parameters.items():
                    if parameter is not None:
                        moved = GpuTensor(parameter.detach().clone(), self)
                        module._parameters[name] = nn.Parameter(moved, parameter.requires_grad)
                for name, buffer in module._buffers.items():
                    module._buffers[name] = None if buffer is None else GpuTensor(buffer.clone(), self)
            return value
        return _mapped(lambda x: GpuTensor(x.clone(), self) if isinstance(x, Tensor) else x, value)

    def counts(self) -> Counter[str]:
        """Return how often the host waits, by operation and place."""
        return Counter(self.waits)

    def wait(self, name: str, times: int = 1) -> None:
        """Write down that the host waits."""
        self.waits += [f"{name} {_place()}"] * times

    def note(self, function: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        """Write down for what an operation on the device lets the host wait."""
        times = WAITS.get(function, 0)
        if function is aten.repeat_interleave.Tensor and kwargs.get("output_size") is None:
            times = 2  # the sum, and whether any is negative
        if function in INDEXING:
            times = sum(index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1])
            if len(args) > 2 and args[2].numel() == 1 and not isinstance(args[2], GpuTensor):
                times = 0  # that is masked_fill
        if times:
            self.wait(str(function), times)

    def __torch_function__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        name = getattr(function, "__name__", "")
        if name in ("to", "cpu", "cuda", "type_as") and isinstance(args[0], Tensor):
            return self._to(name, args[0], list(args[1:]), kwargs)
        if args and isinstance(args[0], GpuTensor) and name in ("tolist", "numpy", "__array__"):
            if name != "tolist":
                raise TypeError("can't convert cuda:0 device type tensor to numpy")
            self.wait(name)
            return args[0].values.tolist()
        if kwargs.get("device") is not None and torch.device(kwargs["device"]).type == "cuda":
            made = function(*args, **(kwargs | {"device": "cpu"}))
            if name in ("tensor", "as_tensor", "asarray"):
                self.wait(name)  # a copy of what the host holds
            return made if isinstance(made, GpuTensor) else self._moved(made, to_gpu=True)
        if name == "copy_" and isinstance(args[0], GpuTensor) != isinstance(args[1], GpuTensor):
            return self._copy(args[0], args[1], bool(kwargs.get("non_blocking") or any(args[2:])))
        if name == "backward" and isinstance(args[0], GpuTensor):
            with _Zeros(self):
                return function(*args, **kwargs)
        return function(*args, **kwargs)

    def _to(self, name: str, tensor: Tensor, rest: list[Any], kwargs: dict[str, Any]) -> Any:
        """Return a tensor of another device or type: `to` in all its forms."""
        target = {"cpu": torch.device("cpu"), "cuda": DEVICE}.get(name)
        for k, value in enumerate(rest):
            if isinstance(value, Tensor):
                target, rest[k] = value.device, value.dtype
            elif isinstance(value, str | torch.device):
                target, rest[k] = torch.device(value), None
        if kwargs.get("device") is not None:
            target = torch.device(kwargs.pop("device"))
        rest = [value for value in rest if value is not None]
        on_gpu = isinstance(tensor, GpuTensor)
        if on_gpu and sys._getframe(2).f_code.co_filename == clip_grad.__file__:
            return tensor  # its device comes from C++, where the tensor says the CPU
        to_gpu = on_gpu if target is None else target.type == "cuda"
        if to_gpu != on_gpu and not kwargs.get("non_blocking"):
            self.wait(f"{name}({'cuda' if to_gpu else 'cpu'})")
        moved = tensor if to_gpu == on_gpu else self._moved(tensor, to_gpu)
        return moved.to(*rest, **kwargs) if name == "to" and (rest or kwargs) else moved

    def _copy(self, target: Tensor, source: Tensor, non_blocking: bool) -> Tensor:
        if not non_blocking:
            self.wait("copy_")
        return target.copy_(self._moved(source, isinstance(target, GpuTensor)))

    def _moved(self, tensor: Tensor, to_gpu: bool) -> Tensor:
        moved: Tensor = _Move.apply(tensor, self, to_gpu)  # type: ignore[no-untyped-call]
        return moved


class _Zeros(TorchDispatchMode):
    """Puts on the device what autograd makes from nothing, as zeros where no gradient comes from."""

    def __init__(self, gpu: FakeGpu) -> None:
        super().__init__()
        self.gpu = gpu

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        made = function(*args, **(kwargs or {}))
        from_nothing = not any(isinstance(x, Tensor) for x in tree_iter((args, kwargs)))
        return GpuTensor(made, self.gpu) if from_nothing and isinstance(made, Tensor) else made


class _Move(torch.autograd.Function):
    """A copy to or from the device, through which gradients flow."""

    @staticmethod
    def forward(context: Any, tensor: Tensor, gpu: FakeGpu, to_gpu: bool) -> Tensor:
        context.gpu, context.to_gpu = gpu, to_gpu
        if to_gpu:
            return GpuTensor(tensor.detach().clone(), gpu)
        assert isinstance(tensor, GpuTensor)
        return tensor.values.clone()

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        (gradient,) = gradients
        return _Move.forward(context, gradient, context.gpu, not context.to_gpu), None, None


def _place() -> str:
    """Return file:line of the code of the project that is running."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(ROOT) and path != Path(__file__).resolve() and ".venv" not in path.parts:
            return f"{path.relative_to(ROOT)}:{frame.f_lineno}"
        frame = frame.f_back
    return "?"
