// The page's state lives in the address, so that a link shows what its sender saw.

export function read() {
    return new URLSearchParams(location.search);
}

/** Changes some parameters in place; null, "" and false remove one. The history gains no entry. */
export function write(changes) {
    const parameters = read();
    for (const [name, value] of Object.entries(changes)) {
        if (value === null || value === undefined || value === "" || value === false) parameters.delete(name);
        else parameters.set(name, String(value));
    }
    const query = parameters.toString();
    history.replaceState(history.state, "", location.pathname + (query ? `?${query}` : ""));
}
