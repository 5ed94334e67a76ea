// What several parts of the stand-in must know of the app's life.
export const appState = { isReady: false, isQuitting: false }
