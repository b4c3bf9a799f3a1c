"""From a request's key to its viewer: the same for both doors, once a request."""

from starlette.requests import Request

from db.engine import Database
from resolvers import keys
from resolvers.errors import Unauthenticated
from resolvers.viewer import Policy, Viewer, anonymous


async def viewer_of(request: Request, database: Database, policy: Policy) -> Viewer:
    """The viewer of a request: `anonymous` without an Authorization header.

    Raises Unauthenticated for a header that is there and does not serve, and StoreUnavailable.
    """
    header = request.headers.get("authorization")
    if header is None:
        return anonymous(policy)
    scheme, _, token = header.strip().partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthenticated
    async with database.read() as session:
        return await keys.viewer_of(session, token.strip(), policy)
