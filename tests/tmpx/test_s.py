import asyncio
async def test_s(database):
    await asyncio.sleep(30)
