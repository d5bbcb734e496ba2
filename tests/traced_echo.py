"""The light HTTP service of ``echo.py``, traced by OpenTelemetry's SDK as the demo's shop is."""

import asyncio
import os

from console.demo.shop import telemetry

if __name__ == "__main__":
    flush = telemetry.start()
    from echo import main

    asyncio.run(main(int(os.environ["PORT"])))
    flush()
