// Assets that electron-vite copies beside the bundle: the import is the file's path at run time.
declare module '*?asset' {
  const path: string
  export default path
}
