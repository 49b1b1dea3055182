"""The spool: small bodies in memory, large ones in an unlinked file (F41, F42)."""

import asyncio
import os
from pathlib import Path

import pytest

from autos.source.spool import MEMORY_BYTES, PIECE_BYTES, Quota, Spool, sweep


async def content(spool: Spool) -> bytes:
    return b"".join([piece async for piece in spool.pieces()])


async def test_small_body_stays_in_memory(tmp_path: Path) -> None:
    with Spool(tmp_path) as spool:
        await spool.write(b"ab")
        await spool.write(b"c")
        assert (spool.size, spool.on_disk) == (3, False)
        assert await content(spool) == b"abc" == await content(spool)


async def test_large_body_goes_to_an_unlinked_file(tmp_path: Path) -> None:
    """F42."""
    chunk = bytes(range(256)) * 256
    count = 2 * MEMORY_BYTES // len(chunk) + 3
    with Spool(tmp_path) as spool:
        for _ in range(count):
            await spool.write(chunk)
        assert spool.on_disk
        assert spool.size == count * len(chunk)
        assert await content(spool) == chunk * count == await content(spool)
        assert all([len(piece) <= PIECE_BYTES async for piece in spool.pieces()])
        assert list(tmp_path.iterdir()) == []


async def test_spool_can_be_written_after_reading(tmp_path: Path) -> None:
    with Spool(tmp_path, memory_bytes=4) as spool:
        await spool.write(b"abcdef")
        await spool.write(b"gh")
        assert await content(spool) == b"abcdefgh"
        await spool.write(b"i")
        assert await content(spool) == b"abcdefghi"


async def test_cancelled_write_closes_the_spool(tmp_path: Path) -> None:
    async def write() -> None:
        with Spool(tmp_path, memory_bytes=0) as spool:
            spools.append(spool)
            while True:
                await spool.write(b"x" * (4 * PIECE_BYTES))

    spools: list[Spool] = []
    for _ in range(20):
        task = asyncio.create_task(write())
        await asyncio.sleep(0.002)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    async with asyncio.timeout(30):
        while any(spool.on_disk for spool in spools):
            await asyncio.sleep(0.005)


async def test_missing_folder_is_an_error(tmp_path: Path) -> None:
    with Spool(tmp_path / "none", memory_bytes=0) as spool, pytest.raises(FileNotFoundError):
        await spool.write(b"x")


async def test_closed_spool_raises(tmp_path: Path) -> None:
    spool = Spool(tmp_path, memory_bytes=0)
    await spool.write(b"x" * 10)
    spool.close()
    spool.close()
    with pytest.raises(ValueError, match="fetched again"):
        await content(spool)


async def test_spools_share_the_memory_limit(tmp_path: Path) -> None:
    """Twenty documents of 4 MiB do not use 80 MiB of memory."""
    quota = Quota(16 * PIECE_BYTES)
    spools = [Spool(tmp_path, quota=quota) for _ in range(20)]
    most = 0
    chunk = bytes(64 * 1024)
    for _ in range(64):
        for spool in spools:
            await spool.write(chunk)
            most = max(most, quota.in_memory)
    assert most <= (16 + 20) * PIECE_BYTES
    assert any(spool.on_disk for spool in spools)
    assert await content(spools[0]) == chunk * 64
    for spool in spools:
        spool.close()
        spool.close()
    assert quota.in_memory == 0


async def test_closed_spool_releases_its_memory_once(tmp_path: Path) -> None:
    quota = Quota()
    first, second = Spool(tmp_path, quota=quota), Spool(tmp_path, memory_bytes=4, quota=quota)
    await first.write(b"abc")
    assert quota.in_memory == 3
    await second.write(b"abcdef")
    assert (second.on_disk, quota.in_memory) == (True, 3)
    second.close()
    first.close()
    assert quota.in_memory == 0


def test_files_of_dead_processes_are_removed_at_the_start(tmp_path: Path) -> None:
    """F42: files of running processes are kept."""
    left, young = tmp_path / "tmpleft", tmp_path / "tmpyoung"
    for path in (left, young):
        path.touch()
    os.utime(left, (0, 0))
    (tmp_path / "folder").mkdir()
    assert sweep(tmp_path, 60) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "tmpyoung"]
    assert sweep(tmp_path, 60) == 0
