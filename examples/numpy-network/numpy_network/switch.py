"""`secure` in the run configuration says whether the clients of this app answer secure sums only. It is for comparing.

In an app of your own, write `ClientApp(mods=[secure_aggregation])` and have no switch: whoever starts a run writes its
configuration, and a hospital that obeys it would show its update to anyone who asks.
"""

from flwr.app import Context, Message
from flwr.clientapp.typing import ClientAppCallable

from fedsec import secure_aggregation


def secure_if_asked(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    """The mod `secure_aggregation` in a run with `secure = true`, and no mod in any other."""
    if context.run_config["secure"]:
        return secure_aggregation(message, context, call_next)
    return call_next(message, context)
