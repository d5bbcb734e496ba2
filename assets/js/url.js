// The page's state lives in the address, so that a link shows what its sender saw.

export function read() {
    return new URLSearchParams(location.search);
}

/** Changes some parameters; null, "" and false remove one. With `asEntry` one can come back to what it was before. */
export function write(changes, { asEntry = false } = {}) {
    const parameters = read();
    for (const [name, value] of Object.entries(changes)) {
        if (value === null || value === undefined || value === "" || value === false) parameters.delete(name);
        else parameters.set(name, String(value));
    }
    const query = parameters.toString();
    const address = location.pathname + (query ? `?${query}` : "");
    if (asEntry && address !== location.pathname + location.search) history.pushState(history.state, "", address);
    else history.replaceState(history.state, "", address);
}
