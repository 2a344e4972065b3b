import '../base.css';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';

createRoot(document.getElementById('page')!).render(
  <StrictMode>
    <h1 className="p-4 text-27">Mesh</h1>
  </StrictMode>,
);
