"""The training loop, in numbered steps, over Accelerate. A stage (`stages/`) says what is trained; this says how.

Exact resumption rests on one rule: everything random is a pure function of seed and position. The order of clips comes from
(seed, epoch), augmentation from (seed, epoch, clip), dropout from (seed, step, batch, process). A checkpoint therefore holds
weights, optimiser, moving average and counters, and no state of any generator.
"""

import contextlib
import copy
import gc
import json
import math
import os
import sys
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.utils import broadcast_object_list, gather_object
from tqdm.auto import tqdm

from ..common import atomic_io as files
from ..common.logging_utils import quiet_transformers
from ..processing.errors_signx import SignXError, SignXWarning
from . import checkpoints
from .arguments import Arguments, RunArguments
from .batching import epoch_batches, shard
from .checkpoints import SignXDamagedError
from .folder import claim
from .logs import RunLog, plot_curves
from .objective import WEIGHTS, counts, losses_of, total, unit_of, weight_of
from .optimizers import make_optimizer
from .schedules import learning_rate_factor, scheduled
from .sharding import check_kind, gathered, is_spread, refuse_deepspeed, spread_like, spread_optimizer_state


@dataclass
class Progress:
    """Where a run is; what a checkpoint writes to `state.json` besides the settings that must not change."""

    step: int = 0
    epoch: int = 0
    batch: int = 0  # optimiser steps done within the epoch
    best: list[dict] = field(default_factory=list)
    without_better: int = 0


def _keep_what_was_inherited(worker: int) -> None:
    """In a worker: what was there before it is the parent's to clear up."""
    gc.freeze()


class CollatedClips(torch.utils.data.Dataset):
    """Batches, made where they are needed: in this process or in a worker. Indexed by (epoch, clips)."""

    def __init__(self, stage: Any, seed: int):
        self.stage, self.seed = stage, seed

    def __getitem__(self, place: tuple[int, list[int]]) -> tuple[list[str], dict[str, torch.Tensor] | SignXError]:
        """Ids and batch, or the error that a clip makes: raised in a worker it would come with the worker's traceback as text."""
        epoch, chosen = place
        examples = [self.stage.train_examples[clip] for clip in chosen]
        randoms = [np.random.default_rng([self.seed, epoch, clip]) for clip in chosen]
        ids = [example.id for example in examples]
        try:
            return ids, self.stage.collate(examples, randoms)
        except Exception as error:
            told = SignXError(
                f"no batch could be made of clips {', '.join(ids)} ({type(error).__name__}: {' '.join(str(error).split())[:200]}); wanted "
                "clips that can be read; check them with `signx-hf data check`, then go on with --resume"
            )
            told.__cause__ = error
            return ids, told


def make_accelerator(run: RunArguments) -> Accelerator:
    """The Accelerator, after checking that as many processes run together as were started.

    Raises:
        SignXError: a launch that started several processes which do not know of one another; says which launch works.
    """
    refuse_deepspeed()
    handlers = [
        DistributedDataParallelKwargs(find_unused_parameters=True)
    ]  # pose-only and video-only steps leave parts out
    accelerator = Accelerator(
        cpu=run.cpu, mixed_precision=run.mixed_precision, kwargs_handlers=handlers,
        gradient_accumulation_steps=run.gradient_accumulation_steps,
    )  # fmt: skip
    wanted = int(os.environ.get("WORLD_SIZE", 1))
    if accelerator.num_processes != wanted:
        raise SignXError(
            f"{wanted} processes were started, but {accelerator.num_processes} work together; wanted {wanted}; on CPUs give --cpu "
            "to the script (accelerate launch --multi_gpu --num_processes 2 SCRIPT --cpu)"
        )
    asked = os.environ.get("SIGNX_EXPECT_PROCESSES")
    if asked and int(asked) != accelerator.num_processes:
        raise SignXError(
            f"{asked} processes were asked for, but {accelerator.num_processes} run; `accelerate launch --cpu --num_processes N` starts "
            "one: use accelerate launch --multi_gpu --num_processes N SCRIPT --cpu"
        )
    check_kind(accelerator, run.mixed_precision)
    return accelerator


class TrainingRun:
    """One run of one stage."""

    def __init__(self, stage: Any, arguments: Arguments):
        self.stage, self.arguments, self.run = stage, arguments, arguments.run
        self.output_dir = Path(arguments.run.output_dir)
        self.progress = Progress()
        self.best_numbers: dict[str, float] = {}  # on dev, of the best weights that this process has measured

    def train(self) -> Path:
        """Runs the stage to its end. Returns the folder of the model.

        Raises:
            SignXError: anything that stops training; what was saved before stays, and the message says how to go on.
        """
        with contextlib.ExitStack() as self.held:  # the lock of the folder
            try:
                return self._train()
            except SignXError:
                raise
            except OSError as error:  # of the log, curves, caches: checkpoints tell of it themselves
                place = error.filename or self.output_dir
                raise SignXError(
                    f"step {self.progress.step}: {place}: {files.write_error_reason(error)}; what was saved before is untouched; "
                    f"{files.remedy_for(error, checkpoints.RESUME)}"
                ) from error

    def _train(self) -> Path:
        # 1. processes and folder
        self.accelerator = make_accelerator(self.run)
        self.main = self.accelerator.is_main_process
        torch.manual_seed(self.run.seed)
        saved = self._claim_folder()
        # 2. data, model and processor
        self.stage.setup()
        self.stage.note_tracks()
        self.model = self.stage.model
        self._apply_loss_weights()
        # 3. optimiser and the steps there will be
        self.optimizer = make_optimizer(self.model, self.run)
        self._count_steps()
        # 4. where an earlier run stopped
        found = self._load(saved) if saved else None
        self._prepare(found)
        self.log = None
        if self.main:
            self.log = RunLog(self.output_dir, self.run.tensorboard, self.progress.step if saved else None)
            self._write_settings()
        # 5. the epochs
        self._train_epochs()
        # 6. the model that is kept
        folder = self._finish()
        self.accelerator.wait_for_everyone()
        self.accelerator.end_training()
        return folder

    # steps 1 to 4

    def _claim_folder(self) -> list[Path]:
        """The checkpoints to go on from, oldest first; none for a fresh run in a folder without one."""
        problem = [None]
        if self.main:
            try:
                claim(self.output_dir, self.run.resume, self.held)
            except SignXError as error:
                problem = [str(error)]
        problem = broadcast_object_list(problem)
        if problem[0]:
            raise SignXError(problem[0])
        return checkpoints.list_checkpoints(self.output_dir)

    def _apply_loss_weights(self) -> None:
        """Writes the weights given for this run into the config, so that the checkpoint says what it was trained with."""
        legal = ", ".join(part for part, place in WEIGHTS.items() if place)
        for name in self.run.loss_schedules:
            if name not in WEIGHTS:
                raise SignXError(f"option loss_schedules: no part {name!r}; wanted one of {legal}")
        for name, value in self.run.loss_weights.items():
            path = WEIGHTS.get(name)
            if path is None:
                raise SignXError(f"option loss_weights: no part {name!r}; wanted one of {legal}")
            owner = self.model.config
            for part in path.split(".")[:-1]:
                owner = getattr(owner, part)
            setattr(owner, path.split(".")[-1], value)

    def _count_steps(self) -> None:
        clips = len(self.stage.train_examples)
        self.batch_size = self.run.per_device_train_batch_size * self.accelerator.num_processes
        per_epoch = math.ceil(clips / self.batch_size)
        self.steps_per_epoch = math.ceil(per_epoch / self.run.gradient_accumulation_steps)
        self.total_steps = self.run.max_steps or max(1, round(self.run.num_train_epochs * self.steps_per_epoch))
        self.warmup = round(self.run.warmup_ratio * self.total_steps)
        self.eval_every = max(1, round(self.run.eval_epochs * self.steps_per_epoch)) if self.run.eval_epochs else 0
        self.save_every = max(1, round(self.run.save_epochs * self.steps_per_epoch)) if self.run.save_epochs else 0

    def _settings(self) -> dict[str, Any]:
        """What must be the same for a checkpoint to be continued."""
        options = self.arguments.to_dict()
        free = ("output_dir", "resume", "progress", "plot", "tensorboard", "num_workers", "extract_jobs", "cpu",
                "per_device_eval_batch_size", "data_dir", "average_best", "upstream", "video_entry", "body")  # fmt: skip
        kept = {name: value for name, value in options.items() if name not in free}
        return {
            "stage": self.stage.name, "options": kept, "processes": self.accelerator.num_processes,
            "total_steps": self.total_steps, "data": self.stage.data_fingerprint,
        }  # fmt: skip

    def _prepare(self, found: tuple[dict, dict] | None) -> None:
        """Hands model and optimiser to Accelerate; `found`: tensors and optimiser of the checkpoint that is continued."""
        self.whole = None
        spread = is_spread(self.accelerator)
        if spread and self.run.optim == "muon":  # it needs whole matrices
            raise SignXError(
                "`optim` must be adamw where weights are sharded, got muon. Leave it out, or train unsharded."
            )
        if spread:  # measured with: its methods work only where the weights are whole
            self.whole = copy.deepcopy(self.model).to(self.accelerator.device)
        if found and not spread:
            self.optimizer.load_state_dict(found[1])
        try:
            self.model, self.optimizer = self.accelerator.prepare(self.model, self.optimizer)
        except (ValueError, KeyError) as error:
            raise SignXError(
                f"this model cannot be prepared for the launch: {' '.join(str(error).split())[:300]}"
            ) from error
        if found and spread:
            bare = self.optimizer.optimizer
            bare.load_state_dict(spread_optimizer_state(found[1], bare))
        self.ema = None
        if self.run.ema_decay:
            state = self.accelerator.unwrap_model(self.model).state_dict()
            self.ema = {name: value.detach().clone() for name, value in state.items()}
            if found:
                self.ema |= {name: spread_like(value, self.ema[name]) for name, value in found[0]["ema"].items()}

    def _load(self, saved: list[Path]) -> tuple[dict, dict]:
        """Puts weights and counters of the newest whole checkpoint back; returns its tensors by file, and the optimiser's state."""
        content, told = None, [None, None]
        if self.main:  # one process chooses: where two read differently they would go on from different steps
            try:
                content = self._newest_whole(saved)
                told = [content[0].name, None]
            except SignXError as error:
                told = [None, str(error)]
        name, problem = broadcast_object_list(told)
        if problem:
            raise SignXError(problem)
        _, tensors, optimizer, state = content or self._read(self.output_dir / name)
        self._restore(self.model, tensors["model"])
        if self.accelerator.scaler is not None and "scaler" in state:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        self.progress = Progress(**state["progress"])
        if self.main:
            self.progress.best = self._whole_best(self.model).entries
        return tensors, optimizer

    def _newest_whole(self, saved: list[Path]) -> tuple[Path, dict, dict, dict]:
        """What is in the newest checkpoint that is whole; warns of damaged ones, whose steps are done again."""
        damaged: list[SignXDamagedError] = []
        for folder in reversed(saved):
            try:
                content = self._read(folder)
            except SignXDamagedError as error:
                damaged.append(error)
                continue
            for error in damaged:
                warnings.warn(
                    f"{error.found}; the run goes on from {folder.name} and does the steps since then again",
                    SignXWarning,
                    stacklevel=2,
                )
            return content
        raise SignXError(
            f"{damaged[0].found}; wanted a whole checkpoint of this run, and there is no other; mend it, or move "
            f"{', '.join(folder.name for folder in saved)} away to start anew"
        ) from damaged[0]

    def _read(self, folder: Path) -> tuple[Path, dict, dict, dict]:
        """The folder, its tensors by file, the optimiser's state and `state.json`, all of them fit to go on with.

        Raises:
            SignXDamagedError: the checkpoint is damaged. SignXError: it is of a run with other settings.
        """
        tensors, optimizer, state = checkpoints.load_checkpoint(folder)
        wanted = json.loads(json.dumps(self._settings()))
        different = [name for name in wanted if wanted[name] != state["settings"].get(name)]
        if different:
            was, now = state["settings"].get(different[0]), wanted[different[0]]
            if different[0] == "options" and isinstance(was, dict):
                name = next(name for name in (*now, *was) if now.get(name) != was.get(name))
                was, now, different = f"{name}={was.get(name)!r}", f"{name}={now.get(name)!r}", ["options"]
            raise SignXError(
                f"{folder}: of a run with other {different[0]} ({was}, now {now}); wanted the same to go on; start anew in another output_dir"
            )
        checkpoints.check_tensors(folder, tensors, self.model, bool(self.run.ema_decay))
        checkpoints.check_optimizer(folder, optimizer, self.optimizer)
        return folder, tensors, optimizer, state

    def _whole_best(self, model: Any) -> checkpoints.BestWeights:
        """The best weights that can be read; warns of the others."""
        best = checkpoints.BestWeights(self.output_dir, self.run.average_best, self.progress.best)
        for path, reason in best.drop_damaged(model).items():
            left = ", ".join(entry["name"] for entry in best.entries) or "weights of later steps"
            warnings.warn(
                f"{path}: damaged ({reason}); wanted weights that were among the best on dev; the model is made of {left} instead",
                SignXWarning,
                stacklevel=2,
            )
        return best

    @staticmethod
    def _restore(model: torch.nn.Module, tensors: dict[str, torch.Tensor]) -> None:
        """Weights of a checkpoint; of tied weights it holds one."""
        missing, unexpected = model.load_state_dict(tensors, strict=False)
        pairs = getattr(model, "_tied_weights_keys", None) or {}
        if unexpected or set(missing) - {*pairs, *pairs.values()}:
            raise SignXError(
                f"the checkpoint has other weights than the model: {sorted([*missing, *unexpected])[:3]}; start anew"
            )

    def _write_settings(self) -> None:
        """`run.json`: what it takes to do this run again."""
        from ..doctor import versions_of  # the same list `signx-hf doctor` shows

        content = {
            "command": [Path(sys.argv[0]).name, *sys.argv[1:]], "stage": self.stage.name, "options": self.arguments.to_dict(),
            "settings": self._settings(), "versions": versions_of(), "parameters": self.stage.parameter_counts(),
        }  # fmt: skip
        with checkpoints.replacing(self.output_dir / "run.json") as beside:
            beside.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")

    # step 5

    def _train_epochs(self) -> None:
        progress = self.progress
        bar = tqdm(
            total=self.total_steps,
            initial=progress.step,
            disable=not (self.main and self.run.progress),
            desc=self.stage.name,
        )
        left = self.total_steps - progress.step
        if self.run.patience and progress.without_better >= self.run.patience:
            left = 0  # killed after it had stopped early
        places = progress.epoch, progress.batch, left
        loader = self._loader(self._steps(*places))
        for epoch, index, group in self._steps(*places):
            self._step([self._checked(*next(loader)) for _ in group])
            progress.epoch, progress.batch = epoch, index + 1
            bar.update()
            if self._after_step(bar):
                break
        bar.close()

    def _steps(self, epoch: int, done: int, left: int) -> Iterator[tuple[int, int, list[list[int]]]]:
        """The `left` optimiser steps that follow the first `done` of an epoch: epoch, place within it, batches."""
        lengths, size = [example.length for example in self.stage.train_examples], self.run.gradient_accumulation_steps
        while left > 0:
            batches = epoch_batches(lengths, self.batch_size, self.run.seed, epoch, self.run.bucket)
            for index in range(done, min(math.ceil(len(batches) / size), done + left)):
                yield epoch, index, batches[index * size : (index + 1) * size]
                left -= 1
            epoch, done = epoch + 1, 0

    def _loader(self, steps: Iterator) -> Any:
        """The batches of all steps. One loader for all epochs: workers start once, and are ahead at the end of an epoch too."""
        rank, processes = self.accelerator.process_index, self.accelerator.num_processes
        places = ((epoch, shard(batch, rank, processes)) for epoch, _, group in steps for batch in group)
        workers = self.run.num_workers
        if workers is None:
            # One is enough never to wait; where it cannot be forked it would get a copy of all clips. What is cached is at hand, and
            # sending it from process to process takes longer than putting it into a batch.
            workers = int(sys.platform == "linux" and getattr(self.stage, "start", None) in (None, "inputs"))
        loader = torch.utils.data.DataLoader(
            CollatedClips(self.stage, self.run.seed), sampler=places, batch_size=None, num_workers=workers,
            prefetch_factor=4 if workers else None, pin_memory=self.accelerator.device.type == "cuda",
            multiprocessing_context="fork" if workers and sys.platform == "linux" else None,
            worker_init_fn=_keep_what_was_inherited if workers else None,
        )  # fmt: skip
        if workers:
            # A decoder of video waits, when it is cleared up, for threads of its own. A fork has none of them: a worker that
            # cleared up what its parent left behind would wait for ever.
            gc.collect()
        return iter(loader)

    def _checked(self, ids: list[str], batch: Any) -> tuple[list[str], dict[str, torch.Tensor]]:
        if isinstance(batch, SignXError):
            raise batch
        return ids, batch

    def _step(self, batches: list[tuple[list[str], dict[str, torch.Tensor]]]) -> None:
        """One optimiser step over the batches of its accumulation."""
        step, device = self.progress.step, self.accelerator.device
        factor = learning_rate_factor(step, self.total_steps, self.warmup, self.run.min_lr_ratio)
        for group in self.optimizer.param_groups:
            group["lr"] = self.run.learning_rate * factor
        self.model.train()
        self.stage.before_step(step, self.total_steps)
        numbers: dict[str, float] = {}
        for index, (ids, batch) in enumerate(batches):
            batch = {name: value.to(device, non_blocking=True) for name, value in batch.items()}
            model = self.accelerator.unwrap_model(self.model)
            with self.accelerator.autocast():
                batch = self.stage.before_batch(model, batch, ids, step, self.total_steps)
            torch.manual_seed(self._seed_of(step, index))
            last = index + 1 == len(batches)
            with _no_sync(self.accelerator, self.model, not last):
                try:
                    with self.accelerator.autocast():
                        output = self.model(**batch)
                except ValueError as error:  # the model counts clips of the batch
                    raise SignXError(
                        f"step {step}: {' '.join(str(error).split())}; the clips of the batch are {', '.join(ids)}; check them with "
                        "`signx-hf data check`, and leave out or cut what is too short or too long"
                    ) from error
                parts = losses_of(output)
                shares = self._shares(batch, output)
                loss = total(parts, self._weights_now(parts, step), shares)
                self._check_finite(loss, parts, ids)
                # Accelerate divides by its own gradient_accumulation_steps, which the last group of an epoch may not fill
                self.accelerator.backward(loss * self.run.gradient_accumulation_steps / len(batches))
            for name, value in parts.items():
                value = value.item() * shares.get(unit_of(name), 1.0) / len(batches)
                numbers[f"train/{name}"] = numbers.get(f"train/{name}", 0.0) + value
        norm = self.accelerator.clip_grad_norm_(self.model.parameters(), self.run.max_grad_norm or math.inf)
        norm = gathered(norm)
        if (
            not math.isfinite(float(norm)) and self.run.mixed_precision != "fp16"
        ):  # fp16's scaler skips such steps itself
            self._stop_for_nan("gradient", [clip for ids, _ in batches for clip in ids])
        self.optimizer.step()
        self.optimizer.zero_grad()
        model = self.accelerator.unwrap_model(self.model)
        numbers |= self.stage.after_update(model, step + 1, self.steps_per_epoch)
        self._update_average()
        self.progress.step += 1
        numbers |= {"train/grad_norm": float(norm), "train/learning_rate": self.run.learning_rate * factor}
        self._last_numbers = self._mean_over_processes(numbers)

    def _seed_of(self, step: int, index: int) -> int:
        text = f"{self.run.seed} {step} {index} {self.accelerator.process_index}"
        return zlib.crc32(text.encode()) + (self.run.seed << 32)

    def _weights_now(self, parts: dict[str, torch.Tensor], step: int) -> dict[str, float]:
        config = self.accelerator.unwrap_model(self.model).config
        out = {name: weight_of(config, name) for name in parts}
        for name, (first, last) in self.run.loss_schedules.items():
            if name in out:
                out[name] = scheduled(first, last, step, self.total_steps)
        return out

    def _shares(self, batch: dict[str, torch.Tensor], output: Any) -> dict[str, float]:
        """This process' counts over the mean of all processes, so that a mean over clips stays one over all clips."""
        own = counts(batch, output)
        if self.accelerator.num_processes == 1:
            return {}
        names = sorted(own)
        mine = torch.tensor([own[name] for name in names], device=self.accelerator.device)
        mean = self.accelerator.reduce(mine.clone(), reduction="mean").clamp_min(1e-9)
        return dict(zip(names, (mine / mean).tolist()))

    def _mean_over_processes(self, numbers: dict[str, float]) -> dict[str, float]:
        if self.accelerator.num_processes == 1:
            return numbers
        values = torch.tensor(list(numbers.values()), device=self.accelerator.device)
        return dict(zip(numbers, self.accelerator.reduce(values, reduction="mean").tolist()))

    def _check_finite(self, loss: torch.Tensor, parts: dict[str, torch.Tensor], ids: list[str]) -> None:
        bad = not bool(torch.isfinite(loss))
        if self.accelerator.num_processes > 1:  # all stop together, or those left would wait for ever
            flag = torch.tensor(float(bad), device=self.accelerator.device)
            bad_anywhere = bool(self.accelerator.reduce(flag, reduction="sum") > 0)
        else:
            bad_anywhere = bad
        if bad_anywhere:
            names = (
                [name for name, value in parts.items() if not bool(torch.isfinite(value))]
                if bad
                else ["another process"]
            )
            self._stop_for_nan(", ".join(names), ids)

    def _stop_for_nan(self, what: str, ids: list[str]) -> None:
        saved = checkpoints.list_checkpoints(self.output_dir)
        raise SignXError(
            f"step {self.progress.step}: not a finite number ({what}) in the batch of clips {', '.join(ids)}; wanted finite losses; check "
            "these clips with `signx-hf data check`, or lower learning_rate; "
            + (f"{saved[-1].name} is untouched" if saved else "nothing was saved yet")
        )

    def _update_average(self) -> None:
        if self.ema is None:
            return
        decay = min(
            self.run.ema_decay, (1 + self.progress.step) / (10 + self.progress.step)
        )  # short memory while young
        for name, value in self.accelerator.unwrap_model(self.model).state_dict().items():
            if value.is_floating_point() and name not in self.stage.exact_buffers:
                self.ema[name].lerp_(value.to(self.ema[name].device), 1 - decay)
            else:
                self.ema[name].copy_(value)

    def _after_step(self, bar: Any) -> bool:
        """Log, measure, save; true if training is to stop early."""
        progress, last = self.progress, self.progress.step >= self.total_steps
        epoch = progress.step / self.steps_per_epoch
        if self.main:
            self.log.write(progress.step, epoch, self._last_numbers)
            shown = {
                name[6:]: value
                for name, value in self._last_numbers.items()
                if name not in ("train/grad_norm", "train/learning_rate")
            }
            bar.set_postfix({name: f"{value:.3g}" for name, value in list(shown.items())[:3]}, refresh=False)
        stop = False
        if self.eval_every and (progress.step % self.eval_every == 0 or last):
            stop = self._measure(epoch)
        if self.save_every and (progress.step % self.save_every == 0 or last or stop):
            self._save()
        return stop or last

    def _measure(self, epoch: float) -> bool:
        """Measures on dev, keeps the weights if they are among the best; true if none was better for too long."""
        with self._measured_model() as model:
            numbers = self.evaluate(model)
            stop = [False]
            if self.main:
                self.log.write(self.progress.step, epoch, {f"dev/{name}": value for name, value in numbers.items()})
                best = checkpoints.BestWeights(self.output_dir, self.run.average_best, self.progress.best)
                better = best.offer(numbers[self.stage.score], self.progress.step, model.state_dict())
                self.progress.best = best.entries
                self.progress.without_better = 0 if better else self.progress.without_better + 1
                self.best_numbers = numbers if better or not self.best_numbers else self.best_numbers
                stop = [bool(self.run.patience and self.progress.without_better >= self.run.patience)]
                if self.run.plot:
                    plot_curves(
                        self.log, self.output_dir / "curves.png", f"{self.stage.title}: {self.arguments.data.dataset}"
                    )
        return broadcast_object_list(stop)[0]

    @contextlib.contextmanager
    def _measured_model(self) -> Iterator[Any]:
        """The model as it is measured and kept: averaged where there is an average, all its weights in this process."""
        model, own = self.accelerator.unwrap_model(self.model), None
        if self.whole is not None:
            self.whole.load_state_dict(gathered(model.state_dict() if self.ema is None else self.ema))
            model = self.whole
        elif self.ema is not None:
            own = {name: value.detach().clone() for name, value in model.state_dict().items()}
            model.load_state_dict(self.ema)
        yield model
        if own is not None:
            model.load_state_dict(own)

    def evaluate(self, model: torch.nn.Module) -> dict[str, float]:
        """The stage's numbers on the dev clips, the same for any number of processes and batch size."""
        model.eval()
        examples = self.stage.dev_examples
        order = sorted(range(len(examples)), key=lambda index: (-examples[index].length, index))
        rank, processes = self.accelerator.process_index, self.accelerator.num_processes
        mine, size = order[rank::processes], self.run.per_device_eval_batch_size
        answers: list[tuple[int, Any]] = []
        with torch.inference_mode():
            for start in range(0, len(mine), size):
                chosen = mine[start : start + size]
                batch = self.stage.collate([examples[index] for index in chosen], None)
                batch = {name: value.to(self.accelerator.device) for name, value in batch.items()}
                answers += zip(chosen, self.stage.answer(model, batch))
        answers = gather_object(answers) if processes > 1 else answers
        found = dict(answers)
        return self.stage.measure([found[index] for index in range(len(examples))])

    def _save(self) -> None:
        model = self.accelerator.unwrap_model(self.model)
        optimizer = self.optimizer.optimizer if hasattr(self.optimizer, "optimizer") else self.optimizer
        tensors = {"model": model.state_dict()} | ({"ema": self.ema} if self.ema is not None else {})
        optimizer_state = optimizer.state_dict()
        if self.whole is not None:
            tensors, optimizer_state = gathered(tensors), gathered(optimizer_state)
        if self.main:
            state = {"progress": vars(self.progress), "settings": self._settings()}
            if self.accelerator.scaler is not None:
                state["scaler"] = self.accelerator.scaler.state_dict()
            checkpoints.save_checkpoint(self.output_dir, self.progress.step, tensors, optimizer_state, state)
            checkpoints.tidy_best(self.output_dir, self.progress.best)
        self.accelerator.wait_for_everyone()

    # step 6

    def _finish(self) -> Path:
        """`output_dir/model`: the mean of the best weights, or the last where nothing was measured."""
        folder = self.output_dir / "model"
        with self._measured_model() as model:
            if self.main:
                self._write_model(model, folder)
        return folder

    def _write_model(self, model: Any, folder: Path) -> None:
        best = self._whole_best(model)
        if best.entries:  # else the last weights: all that was trained would be lost without them
            self._restore(model, best.mean())
        model.eval()
        self.stage.finish(model)

        def write(part: Path) -> None:
            with quiet_transformers():
                model.save_pretrained(part)
            self.stage.processor.save_pretrained(part)

        checkpoints.write_whole(folder, write)
        with checkpoints.replacing(self.output_dir / "result.json") as beside:
            beside.write_text(
                json.dumps({"measure": self.stage.score, "best": best.entries, "steps": self.progress.step}, indent=1),
                encoding="utf-8",
            )
        self.log.close()


def _no_sync(accelerator: Accelerator, model: torch.nn.Module, skip: bool) -> Any:
    """Gradients meet other processes' only at the last batch of an accumulation."""
    return accelerator.no_sync(model) if skip else contextlib.nullcontext()
