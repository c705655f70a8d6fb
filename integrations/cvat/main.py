"""The serverless function of CVAT, as Nuclio calls it; what it does is in `segmend.plugins.cvat`."""

import json

from segmend.labels import InvalidInput
from segmend.plugins import object_refiner
from segmend.plugins.cvat import answer


def init_context(context):
    context.user_data.refiner = object_refiner("universal")
    context.logger.info("segmend is ready")


def handler(context, event):
    try:
        status, body = 200, answer(event.body, context.user_data.refiner)
    except InvalidInput as error:
        context.logger.warn(str(error))
        status, body = 400, {"error": str(error)}
    return context.Response(body=json.dumps(body), headers={}, content_type="application/json", status_code=status)
